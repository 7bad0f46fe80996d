"""Tests of the benchmark program, its shim and its report. `make test-bench` builds first; no test depends on how long
anything takes."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import types

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCH = ROOT / "build" / "bench" / "bench"
SHIM_TEST = ROOT / "build" / "bench" / "tests" / "shim_test"
SCRIPT = ROOT / "scripts" / "bench.py"
STORED = ROOT / "bench" / "tests" / "stored"


def run(*command):
    return run_with({}, *command)


def run_with(variables, *command):
    environment = {k: v for k, v in os.environ.items() if k != "SUBJECT"} | variables
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=600, env=environment
    )
    return done.returncode, done.stdout, done.stderr


def rows_of(*options):
    status, output, errors = run(SHIM_TEST, "--json", *options)
    assert status == 0, errors
    return json.loads(output)


def row_of(name, *options):
    (row,) = rows_of(f"--only={name}", *options)["benchmarks"]
    return row


def report_in(folder):
    return json.loads((folder / "results" / "bench" / "latest" / "report.json").read_text())


# ---------------------------------------------------------------- the shim


def test_shim_names_a_row_by_its_key_alone():
    for name in ("test/loop/kind:text/step:3", "test/faults/inside:1", "test/many/threads:2"):
        assert row_of(name, "--time=0.001")["name"] == name


def test_shim_row_has_the_librarys_fields_and_ours():
    row = row_of("test/loop/kind:text/step:3", "--time=0.001")
    for field in ("iterations", "real_time", "cpu_time", "time_unit", "threads", "page_faults"):
        assert field in row, field
    assert row["iterations"] > 0 and row["real_time"] > 0 and row["answer"] == 42
    assert row["label"] == "test/samples"
    assert row["yardstick_ns"] > 1000
    assert "yardstick_ns" in row_of("test/many/threads:2", "--time=0.001")


def test_shim_reports_the_environment():
    assert rows_of("--only=test/samples", "--time=0.001")["context"]["planet"] == "earth"


def test_shim_counts_page_faults_of_the_measured_part_only():
    assert row_of("test/faults/inside:1", "--time=0.001")["page_faults"] == 16
    assert row_of("test/faults/inside:0", "--time=0.001")["page_faults"] == 0


def test_shim_reports_what_a_part_does_to_the_address_space():
    for options in (["--time=0.001"], ["--iterations=2"]):
        row = row_of("test/footprint", *options)
        assert row["vmas"] == 1 and row["peak_virtual_bytes"] == 16 << 20, row
        slack = 64 * 4096  # the kernel counts resident pages per core
        assert abs(row["peak_resident_bytes"] - (4 << 20)) <= slack, row


def test_shim_quick_list_leaves_out_rows_of_full_runs():
    names = [run(SHIM_TEST, "--list", *option)[1] for option in ([], ["--quick"])]
    assert "test/footprint" in names[0] and "test/footprint" not in names[1]
    assert "test/samples" in names[1]


def test_shim_quantiles_are_those_of_the_samples():
    row = row_of("test/samples", "--iterations=1000")
    assert row["samples"] == 1000
    for percent in (1, 5, 10, 25, 50, 75, 90, 95, 99):
        assert abs(row[f"q{percent:02}"] - percent) <= 1, row


def test_shim_time_of_samples_is_their_mean():
    assert abs(row_of("test/samples", "--iterations=1000")["real_time"] - 50.5) < 0.01


def test_shim_runs_a_case_in_several_threads():
    row = row_of("test/many/threads:2", "--time=0.001")
    assert row["threads"] == 2 and row["arrived"] == 2


def test_shim_skips_with_a_reason():
    for name, reason in (
        ("test/skips", "found out while running"),
        ("test/cannot", "known before it runs"),
    ):
        row = row_of(name)
        assert row["error_occurred"] and row["error_message"] == reason, row


def test_shim_iterations_are_exact():
    assert row_of("test/faults/inside:1", "--iterations=7")["iterations"] == 7
    assert row_of("test/footprint", "--time=0.001")["iterations"] == 3, "those of the case"


def test_shim_wrong_options_end_with_2_and_a_message():
    wrong = (
        "--tme=1",
        "--time=0",
        "--time=x",
        "--iterations=-1",
        "--filter=(",
        "--only=no/such",
        "--filter=zzz",
    )
    for option in wrong:
        status, _, errors = run(SHIM_TEST, option)
        assert status == 2 and errors.strip(), (option, status)


# ---------------------------------------------------------------- the program


def test_program_lists_every_strategy_order_table_and_allocator():
    status, output, _ = run(BENCH, "--list")
    assert status == 0
    names = [line.split("\t")[0] for line in output.splitlines()]
    assert len(names) == len(set(names)), "a name twice"
    wanted = [
        f"/strategy:{s}/" for s in "reserve reserve_rw remap move heap image pool guard".split()
    ]
    wanted += [f"/orders:{o}/" for o in ("chosen", "sc", "acqrel", "seed")]
    wanted += ["/allocator:glibc/", "/allocator:jemalloc/", "/reset:discard/", "/reset:renew/"]
    for part in wanted:
        assert any(part in name for name in names), part


def test_program_has_every_row_that_bounds_another():
    _, output, _ = run(BENCH, "--list")
    bounds = dict(line.split("\t") for line in output.splitlines())
    missing = {
        b for all_bounds in bounds.values() for b in all_bounds.split(",") if b
    } - bounds.keys()
    assert not missing, missing


def test_program_rows_of_one_page_run():
    status, output, errors = run(
        BENCH, "--json", "--iterations=1", "--filter=^(memory|bound)/.*pages:1($|/)"
    )
    assert status == 0, errors
    rows = json.loads(output)["benchmarks"]
    failed = [
        r["name"]
        for r in rows
        if r.get("error_occurred")
        and "strategy:guard" not in r["name"]
        and "guard_" not in r["name"]
        and "run this row alone" not in r["error_message"]
    ]
    assert len(rows) > 80 and not failed, failed


def test_program_jemalloc_takes_the_settings_of_a_row_that_runs_alone():
    for settings in ("decay_0", "no_retain", "thp"):
        name = f"memory/create/strategy:heap/allocator:jemalloc_{settings}/pages:1"
        _, output, _ = run(BENCH, "--json", "--iterations=16", f"--only={name}")
        (row,) = json.loads(output)["benchmarks"]
        assert not row.get("error_occurred"), row
        assert json.loads(output)["context"]["jemalloc_settings"] != "none"
        _, output, _ = run(BENCH, "--json", "--iterations=16", f"--filter=^{name}$")
        (row,) = json.loads(output)["benchmarks"]
        assert "run this row alone" in row["error_message"], row


def test_program_peers_create_grow_copy_and_destroy():
    status, output, errors = run(
        BENCH, "--json", "--iterations=2", "--filter=^peer/[a-z_]+/of:(seed|wabt)[^/]*/pages:16"
    )
    assert status == 0, errors
    rows = {r["name"]: r for r in json.loads(output)["benchmarks"]}
    skipped = [r["name"] for r in rows.values() if r.get("error_occurred")]
    assert all("of:wabt" in name for name in skipped), skipped
    moved, stayed = (rows[f"peer/grow/of:seed_{s}/pages:16"] for s in ("dynamic", "static"))
    assert moved["page_faults"] == 256 and stayed["page_faults"] == 0
    assert rows["peer/copy/of:seed_static/pages:16/written:100"]["page_faults"] == 256
    assert stayed["label"] == "bound/mprotect/pages:16"


def measured(pattern, iterations=1):
    """Name -> row, of the rows that match and can run here."""
    status, output, errors = run(BENCH, "--json", f"--iterations={iterations}", f"--filter={pattern}")
    assert status == 0, errors
    return {r["name"]: r for r in json.loads(output)["benchmarks"]}


def test_program_page_faults_are_exact():
    rows = measured(
        "^memory/(touch|reuse|copy|init|many)/strategy:reserve/pages:1(/written:100|/from:bytes)?"
        "(/memories:4/threads:1)?$|^bound/(touch|discard_touch|copy)/pages:1$",
        32,
    )
    for name, row in rows.items():
        wanted = 4 if "/many/" in name else 16  # one per written host page
        once = 1 if "/reuse/" in name else 0  # the first reset checks whether a discard works
        assert wanted <= row["page_faults"] <= wanted + once / 16, (name, row["page_faults"])
    assert len(rows) == 8, list(rows)


def test_program_system_calls_are_exact():
    wanted = {
        "memory/grow/strategy:reserve/pages:16": {"mprotect": 1},
        "memory/grow/strategy:reserve_rw/pages:16": {},
        "memory/destroy/strategy:reserve/pages:16": {"munmap": 1},
        "memory/grow_steps/strategy:reserve/pages:1/to:1024/by:16": {"mprotect": 64},
        "bound/mprotect/pages:16": {"mprotect": 1},
        "bound/steps/pages:1/to:1024/by:16": {"mprotect": 64},
        "peer/grow/of:seed_static/pages:16": {"mprotect": 1},
        "peer/grow/of:seed_dynamic/pages:16": {"mmap": 1, "mprotect": 1, "munmap": 1},
    }
    with tempfile.TemporaryDirectory() as folder:
        ours = "|".join(name for name in wanted if name.startswith("memory/"))
        options = ["--rounds=1", "--time=0.001", f"--filter=^({ours})$", "--root", folder]
        status, _, errors = run(SCRIPT, *options)
        assert status == 0, errors
        items = {item["name"]: item for item in report_in(pathlib.Path(folder))["items"]}
    for name, calls in wanted.items():
        assert items[name]["system_calls"] == calls, (name, items[name]["system_calls"])


def test_program_footprints_are_exact():
    rows = measured("^memory/create/strategy:(reserve|pool/reset:renew)/pages:16(/guard:0)?$", 16)
    capacity, guard = 1024 * 65536, 65536
    row = rows["memory/create/strategy:reserve/pages:16"]
    assert row["peak_virtual_bytes"] == capacity + guard and 1 <= row["vmas"] <= 2, row
    row = rows["memory/create/strategy:reserve/pages:16/guard:0"]
    assert row["peak_virtual_bytes"] == capacity, row
    row = rows["memory/create/strategy:pool/reset:renew/pages:16"]
    assert row["peak_virtual_bytes"] == 0, "a pool's slots are reserved beforehand"


def test_program_rows_of_reuse_access_bulk_and_many_run():
    rows = measured("^(memory|bound)/(init|access|bulk_[a-z]+|many)/.*(pages:1/|bytes:4096)", 64)
    failed = [
        r["name"]
        for r in rows.values()
        if r.get("error_occurred")
        and "strategy:guard" not in r["name"]
        and "run this row alone" not in r["error_message"]
        and not (r["name"].endswith("threads:2") and "only one core" in r["error_message"])
    ]
    assert len(rows) > 80 and not failed, (len(rows), failed)


def test_objects_rows_run_with_every_allocator():
    rows = measured("^objects/", 1024)
    failed = [r["name"] for r in rows.values() if r.get("error_occurred")]
    assert len(rows) == 24 and all("jemalloc_" in n or "threads:2" in n for n in failed), failed


def test_programs_compute_on_every_strategy_what_they_do_natively():
    rows = measured("^program/|^bound/native/|^peer/[a-z]+/of:wabt/check:")
    reasons = {n: r["error_message"] for n, r in rows.items() if r.get("error_occurred")}
    wrong = {n: why for n, why in reasons.items() if "missing" not in why and ":guard/" not in n}
    assert not wrong, wrong
    assert len([n for n in rows if n.startswith("bound/native/")]) >= 5
    if reasons.keys() >= {n for n in rows if n.startswith("program/")}:
        return  # the packages for building them are missing
    assert len(rows) >= 80, len(rows)
    ours = rows["program/grower/strategy:move/check:compare"]
    theirs = rows["peer/grower/of:wabt/check:guard"]
    assert ours["growths"] == theirs["growths"] > 100 and ours["pages"] == theirs["pages"] > 100
    assert ours["page_faults"] > theirs["page_faults"], "a memory that moves is copied"


def test_programs_check_bounds_where_they_say_so():
    folder = ROOT / "build" / "bench" / "programs"
    if not (folder / "sortguard.o").exists():
        return  # the packages for building it are missing
    traps = {}
    for check in ("guard", "compare"):
        _, output, _ = run("objdump", "-dr", folder / f"sort{check}.o")
        traps[check] = output.count("wasm_rt_trap")
        assert "program_grow_memory" in run("nm", folder / f"sort{check}.o")[1]
        assert "wasm_rt_grow_memory" not in run("nm", folder / f"sort{check}.o")[1]
    assert traps["compare"] > traps["guard"], traps


def test_v8_rows_are_skipped_with_the_reason_where_node_is_absent():
    command = [str(BENCH), "--json", "--iterations=1", "--filter=^peer/(create|grow)/of:v8/"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, env={"PATH": "/nonexistent"}
    )
    rows = json.loads(done.stdout)["benchmarks"]
    assert len(rows) >= 6 and all("node is missing" in r["error_message"] for r in rows), rows


def test_v8_script_refuses_what_it_does_not_know():
    if not shutil.which("node"):
        return
    for arguments in ([], ["shrink", "1", "1", "0"], ["grow", "0", "1", "0"], ["grow", "1"]):
        status, _, errors = run("node", "--expose-gc", ROOT / "bench" / "v8.js", *arguments)
        assert status == 2 and "usage" in errors, (arguments, status)


def test_program_labels_name_limits_before_peers():
    _, output, _ = run(BENCH, "--list", "--filter=^memory/")
    labels = [line.split("\t")[1].split(",") for line in output.splitlines() if "\t" in line]
    for label in labels:
        kinds = [name.split("/")[0] for name in label if name]
        assert kinds == sorted(kinds), label  # bound before peer
    assert any("peer/grow/of:v8/pages:16" in label for label in labels)


def test_program_has_rows_of_subjects_only_when_asked():
    names = [run_with(v, BENCH, "--list")[1] for v in ({}, {"SUBJECT": "reference"})]
    assert "subject/" not in names[0]
    for row in ("grow/of:reference/strategy:reserve/pages:16", "drain/of:reference"):
        assert f"subject/{row}" in names[1], row


def test_program_runs_a_subject_beside_the_reference():
    subjects = ",".join(str(ROOT / f"build/subjects/{n}.so") for n in ("template", "template_mailbox"))
    status, output, errors = run_with(
        {"SUBJECT": subjects}, BENCH, "--json", "--iterations=1", "--filter=^subject/.*(pages:1$|queue|drain)"
    )
    assert status == 0, errors
    rows = {row["name"]: row for row in json.loads(output)["benchmarks"]}
    for name in (
        "subject/grow/of:template/strategy:mine/pages:1",
        "subject/create_destroy/of:template/strategy:mine/pages:1",
        "subject/enqueue/of:template_mailbox",
        "subject/drain/of:reference",
    ):
        assert not rows[name].get("error_occurred") and rows[name]["real_time"] > 0, rows[name]
    assert not any("/copy/of:template/" in name for name in rows), "copy, which is not offered"


def test_program_refuses_what_is_no_subject():
    status, _, errors = run_with({"SUBJECT": "/no/such.so"}, BENCH, "--list")
    assert status == 2 and "cannot open shared object" in errors, errors


def test_report_compares_subjects_with_the_reference():
    with tempfile.TemporaryDirectory() as folder:
        subject = {"SUBJECT": str(ROOT / "build/subjects/template.so")}
        options = ["--quick", "--rounds=1", "--time=0.0005", "--root", folder]
        status, _, errors = run_with(
            subject, SCRIPT, *options, "--filter=^subject/grow/.*:(reserve|mine)/pages:16$"
        )
        assert status == 0, errors
        text = (pathlib.Path(folder) / "results" / "bench" / "latest" / "report.md").read_text()
        assert "## Subjects" in text and re.search(r"\| template mine \| .* \|", text), text
        assert re.search(r"^- \*\*Subjects\*\*, times the reference: grow `template mine` 16 pages .*×\)", text, re.M), text


def test_program_order_tables_keep_their_symbols_apart():
    for table in ("chosen", "sc", "acqrel", "seed"):
        status, output, _ = run(
            "nm", "-g", "--defined-only", ROOT / f"build/bench/mailbox_{table}.o"
        )
        assert status == 0 and output.strip() == "", output


def test_program_sc_table_has_every_site_sequentially_consistent():
    sites = lambda text: re.findall(r"#define (PB_ORDER_\w+) (\w+)", text)
    chosen = sites((ROOT / "ref/orders.h").read_text())
    made = sites((ROOT / "build/bench/orders_sc.h").read_text())
    assert chosen and [name for name, _ in made] == [name for name, _ in chosen]
    assert {order for _, order in made} == {"memory_order_seq_cst"}


def test_program_has_a_path_or_a_reason_for_each_weaker_site():
    text = (ROOT / "ref/orders.h").read_text()
    sites = re.findall(r"#define PB_ORDER_(\w+) memory_order_(?!seq_cst)", text)
    rows = measured("^site/")
    why = {}
    for name, row in rows.items():
        site = re.search(r"/stronger:(\w+)$", name).group(1)
        why.setdefault(site, []).append(row.get("error_message"))
    assert sites and why.keys() == {"none", *sites}, why.keys() ^ {"none", *sites}
    assert "it did not go where it should" not in [w for found in why.values() for w in found], why
    assert all(found == [None] or len(found[0] or "") > 20 for s, found in why.items() if s != "none"), why
    skipped = {s for s, found in why.items() if s != "none" and found != [None]}
    assert {"WAITERS_VERDICT", "WAITERS_RECOUNT", "MAILBOX_BELL_RING"} <= skipped, skipped
    assert not skipped & {"MAILBOX_TAIL_PUBLISH", "MAILBOX_RESERVE", "WAITERS_LOOK"}, skipped


def test_program_jemalloc_and_glibc_are_two_allocators():
    _, output, _ = run(BENCH, "--json", "--iterations=1", "--filter=bound/calloc/.*pages:1$")
    context = json.loads(output)["context"]
    assert context["jemalloc"].startswith("5.") and context["glibc"].startswith("2.")
    status, output, _ = run("nm", "--defined-only", BENCH)
    assert status == 0 and re.search(r" T jemalloc_malloc$", output, re.M)
    assert not re.search(r" [TW] (malloc|free)$", output, re.M), "jemalloc took over malloc"


# ---------------------------------------------------------------- the report


def test_filter_that_matches_nothing_ends_with_2_and_a_message():
    with tempfile.TemporaryDirectory() as folder:
        status, _, errors = run(SCRIPT, "--quick", "--filter=no_such_row", "--root", folder)
        assert status == 2 and "no_such_row" in errors, (status, errors)
        assert not list(pathlib.Path(folder).glob("results/bench/*")), "a folder was left behind"


def test_filter_brings_the_rows_that_bound_it():
    with tempfile.TemporaryDirectory() as folder:
        options = ["--rounds=1", "--time=0.001", "--filter=^wait/notify_none$", "--root", folder]
        status, output, errors = run(SCRIPT, *options)
        assert status == 0, errors
        made = report_in(pathlib.Path(folder))
        names = {item["name"] for item in made["items"]}
        limits = {"bound/fetch_add/threads:1", "bound/futex_wake"}
        assert names == {"wait/notify_none", "peer/notify_none/of:v8"} | limits, names
        assert made["kind"] == "bench" and made["status"] == "pass"


def test_report_from_stored_rows():
    with tempfile.TemporaryDirectory() as folder:
        status, output, errors = run(SCRIPT, f"--from={STORED}", "--root", folder)
        assert status == 0, errors
        assert "is no row: left out" in errors
        made = report_in(pathlib.Path(folder))
        items = {item["name"]: item for item in made["items"]}
        grow = items["memory/grow/strategy:reserve/pages:16"]
        assert (grow["real_time"], grow["low"], grow["high"], grow["rounds"]) == (710, 700, 720, 3)
        assert abs(grow["bounds"]["bound/mprotect/pages:16"] - 2) < 1e-9
        assert not grow["noisy"] and grow["system_calls"] == {"mprotect": 1}
        move = items["memory/grow/strategy:move/pages:16"]
        assert move["noisy"] and move["real_time"] == 200000
        assert move["bounds"]["bound/move/pages:16"] == 2, "the median of the rounds' own ratios"
        assert (
            items["memory/grow/strategy:guard/pages:16"]["skipped"]
            == "the kernel has no guard markers"
        )
        trip = items["wait/round_trip/via:pagebox/cores:1"]
        assert trip["q50"] == 1500 and trip["bounds"]["bound/round_trip/via:futex/cores:1"] == 1.5


def test_report_shows_figures_marks_reasons_and_plots():
    with tempfile.TemporaryDirectory() as folder:
        run(SCRIPT, f"--from={STORED}", "--root", folder)
        latest = pathlib.Path(folder) / "results" / "bench" / "latest"
        text, page = (latest / "report.md").read_text(), (latest / "report.html").read_text()
        for part in (
            "710 ns",
            "200 µs ~",
            "the kernel has no guard markers",
            "12.2.0",
            "-O2 -g",
            "jemalloc 5.3.0",
        ):
            assert part in text and part in page, part
        assert page.count("<svg") >= 2 and "No plot" not in page
        assert not re.search(r"(src|href)=[\"']?https?:", page), "the page needs a network"


def test_report_has_a_part_for_each_kind_of_memory_row():
    memory = (
        "grow/strategy:reserve/pages:16(/by:16|/guard:0)?",
        "grow_steps/strategy:reserve/pages:1/to:1024/by:16",
        "create/strategy:(reserve|heap/allocator:glibc)/pages:16(/guard:0)?",
        "access/strategy:reserve/pages:(1|256)/pattern:random/check:guard",
        "bulk_copy/type:owned/bytes:16",
        "many/strategy:reserve/pages:1/memories:4(/guard:0)?/threads:[12]",
        "create_touch/strategy:remap/pages:256/advice:huge",
        "reuse/strategy:remap/pages:256/advice:populate",
        "reset/strategy:reserve/pages:1",
        "init/strategy:reserve/pages:1/from:bytes",
    )
    others = "objects/clone/allocator:(glibc|jemalloc)|program/sort/strategy:reserve/check:guard"
    with tempfile.TemporaryDirectory() as folder:
        pattern = f"^(memory/({'|'.join(memory)})|{others})$"
        options = ["--rounds=1", "--time=0.0005", f"--filter={pattern}", "--root", folder]
        status, _, errors = run(SCRIPT, *options)
        assert status == 0, errors
        made = report_in(pathlib.Path(folder))
        text = (pathlib.Path(folder) / "results/bench/latest/report.md").read_text()
    items = {item["name"]: item for item in made["items"]}
    parts = ["Beside limits and peers", "Each peer", "Create", "Grow", "Reset", "First contents"]
    parts += ["Growth by more, and on demand", "No guard", "Populated, huge pages"]
    parts += ["Access, and what bounds checks cost", "Bulk instructions", "Several memories at once"]
    parts += ["Allocators", "Small objects of waiters and wakers"]
    if not items["program/sort/strategy:reserve/check:guard"]["skipped"]:
        parts += ["Real programs", "sort, every strategy"]
    missing = [part for part in parts if not re.search(rf"^#+ {part}$", text, re.M)]
    assert not missing, missing
    create = items["memory/create/strategy:reserve/pages:16"]
    assert create["peak_virtual_bytes"] == (64 << 20) + 65536 and create["vmas"] >= 1
    assert create["best_peer"].startswith("peer/create/of:") and create["peer_ratio"] > 0
    lines = [line for line in text.splitlines() if line.startswith("| reserve |")]
    assert any("64.1 MiB" in line for line in lines), "no footprint in the tables"
    beside = r" [\d.]+ [\u00b5nm]s( ~)? \([\d.]+\u00d7"
    for part, line in (
        ("Growth by more, and on demand", "reserve"),
        ("No guard", "reserve, no guard"),
        ("Populated, huge pages", "remap, populated"),
        ("Every strategy", "reserve, guard page"),
        ("Several memories at once", "reserve"),
        ("Memories by allocator", "glibc"),
        ("Small objects of waiters and wakers", "glibc"),
    ):
        body = re.split(r"\n#+ ", text.split(f"# {part}\n")[1])[0]
        cells = re.search(rf"^\| {line} \|.*$", body, re.M).group()
        assert re.search(beside, cells) or re.search(r"\| [\d.]+\u00d7 \|", cells), (part, cells)


def test_report_of_a_folder_without_rows_ends_with_2():
    with tempfile.TemporaryDirectory() as folder:
        status, _, errors = run(SCRIPT, f"--from={folder}", "--root", folder)
        assert status == 2 and "raw" in errors


def test_crash_of_a_row_is_a_finding_and_the_others_are_reported():
    with tempfile.TemporaryDirectory() as folder:
        options = ["--program", SHIM_TEST, "--rounds=1", "--time=0.001", "--root", folder]
        status, _, errors = run(SCRIPT, *options)
        assert status == 1 and "finding: bench-crash test/crash" in errors, (status, errors)
        made = report_in(pathlib.Path(folder))
        items = {item["name"]: item for item in made["items"]}
        assert made["status"] == "finding" and made["summary"]["crashed"] == 1
        assert "crashed" in items["test/crash"]["skipped"]
        assert items["test/samples"]["real_time"] > 0


def test_interrupt_leaves_a_partial_report():
    with tempfile.TemporaryDirectory() as folder:
        command = [
            SCRIPT,
            "--rounds=1000",
            "--time=0.001",
            "--filter=^wait/notify_none$",
            "--root",
            folder,
        ]
        child = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        home = pathlib.Path(folder) / "results" / "bench"
        noted = lambda: sum(path.read_text().count("\n") for path in home.glob(".*.tmp/raw/rows.jsonl"))
        while child.poll() is None and noted() < 6:
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=600)
        assert child.returncode == 130, (child.returncode, errors)
        made = report_in(pathlib.Path(folder))
        assert made["status"] == "interrupted" and made["summary"]["measurements"] >= 6
        assert any(item["real_time"] for item in made["items"])
        assert not list(home.glob(".*.tmp")), "the temporary folder stayed"


def test_system_calls_are_those_between_the_marks():
    from pagebox.bench import run as bench_run

    trace = """mmap(NULL, 4096) = 0x1
write(-1, "bench+", 6) = -1 EBADF (Bad file descriptor)
mprotect(0x1, 4096, PROT_READ) = 0
clock_gettime(CLOCK_THREAD_CPUTIME_ID, {}) = 0
mprotect(0x2, 4096, PROT_READ) = 0
write(-1, "bench-", 6) = -1 EBADF (Bad file descriptor)
munmap(0x1, 4096) = 0
"""
    assert bench_run.calls_between_marks(trace) == {"mprotect": 2}


def test_order_has_every_row_once_and_those_to_compare_together():
    import random

    from pagebox.bench import run as bench_run
    from pagebox.bench import words

    names = {
        f"memory/{o}/strategy:{s}/pages:{p}": [f"bound/{o}/pages:{p}"]
        for o in ("grow", "create")
        for s in ("reserve", "move", "guard")
        for p in (1, 16)
    }
    names |= {bound: [] for bounds in list(names.values()) for bound in bounds}
    known = words.Words(described())
    orders = [bench_run.shuffled(names, known, random.Random(seed)) for seed in range(5)]
    for order in orders:
        assert sorted(order) == sorted(names)
        kinds = [re.sub(r"^bound|^memory|/strategy:\w+", "", name) for name in order]
        changes = sum(a != b for a, b in zip(kinds, kinds[1:]))
        assert changes == 3, order
    assert len(set(map(tuple, orders))) == 5, "the order is always the same"


def test_times_and_ratios_read_well():
    from pagebox.bench import measures

    shown = [
        measures.time_text(ns) for ns in (0.29, 9.996, 999.6, 1234, 45_600_000, 2e9, None)
    ]
    assert shown == ["0.29 ns", "10 ns", "1 µs", "1.23 µs", "45.6 ms", "2 s", "–"], shown
    shown = [measures.ratio_text(r) for r in (0.5, 0.998, 1.52, 12.4, None)]
    assert shown == ["0.50×", "1.00×", "1.5×", "12×", "–"], shown


# ---------------------------------------------------------------- statistics, the plan


def test_interval_of_a_median_is_that_of_the_binomial():
    from pagebox.bench import measures

    # By hand: of 6 the outer two hold the median with 1 - 2/64, of 10 the second and ninth with
    # 1 - 22/1024; 5 are too few for 95 %.
    low, high, sure = measures.interval([3, 1, 2, 6, 5, 4])
    assert (low, high) == (1, 6) and abs(sure - 0.96875) < 1e-12
    low, high, sure = measures.interval(list(range(10)))
    assert (low, high) == (1, 8) and abs(sure - (1 - 22 / 1024)) < 1e-12
    low, high, sure = measures.interval([7, 9, 8, 5, 6])
    assert (low, high) == (5, 9) and abs(sure - 0.9375) < 1e-12
    assert measures.interval([4])[:2] == (4, 4)


def test_interval_holds_the_median_as_often_as_it_says():
    import random

    from pagebox.bench import measures

    generator, held, runs = random.Random(1), 0, 4000
    for _ in range(runs):
        low, high, sure = measures.interval([generator.expovariate(1) for _ in range(9)])
        held += low < 0.6931471805599453 < high  # the median of that distribution
    assert abs(held / runs - sure) < 0.02, (held / runs, sure)


def test_outliers_are_those_far_from_the_middle_half():
    from pagebox.bench import measures

    assert measures.outliers([10, 11, 12, 13, 14]) == 0
    assert measures.outliers([10, 11, 12, 13, 14, 100]) == 1


def test_pilot_round_counts_only_where_there_is_no_other():
    from pagebox.bench import measures

    row = {"name": "a", "iterations": 1, "time_unit": "ns"}
    rows = [row | {"round": measures.PILOT, "real_time": 900.0}]
    assert measures.Figures("a", rows).ns == 900
    rows += [row | {"round": 0, "real_time": 100.0}]
    assert measures.Figures("a", rows).ns == 100


def test_disturbed_rounds_count_only_where_there_are_too_few_others():
    from pagebox.bench import measures

    row = {"name": "a", "iterations": 1, "time_unit": "ns"}
    quiet = [row | {"round": n, "real_time": 100.0 + n, "yardstick_ns": 1000.0} for n in range(20)]
    slow = [row | {"round": 20 + n, "real_time": 900.0, "yardstick_ns": 1101.0} for n in range(2)]
    same = [row | {"round": 22, "real_time": 800.0, "yardstick_ns": 1099.0}]
    figures = measures.figures_of({"bounds": {}}, quiet + slow + same, {})["a"]
    assert figures.disturbed == 2 and figures.high == 800 and len(figures.rounds) == 21
    assert measures.yardstick_limit_ns(quiet) == 1100
    few = [r | {"name": "b"} for r in (*quiet[:3], *slow)]
    figures = measures.figures_of({"bounds": {}}, quiet + few, {})["b"]
    assert figures.disturbed == 2 and figures.high == 900 and len(figures.rounds) == 5
    for one in quiet + slow:
        del one["yardstick_ns"]
    figures = measures.figures_of({"bounds": {}}, quiet + slow, {})["a"]
    assert figures.disturbed == 0 and len(figures.rounds) == 22


def test_best_peer_is_the_fastest_and_no_limit():
    from pagebox.bench import measures

    figures = measures.Figures("a", [])
    figures.ratios = {"bound/x": 9.0, "peer/a/of:p": 0.5, "peer/a/of:q": 2.0, "peer/a/of:r": None}
    figures.peer_names = {"peer/a/of:p", "peer/a/of:q", "peer/a/of:r"}
    assert figures.best_peer() == ("peer/a/of:q", 2.0) and figures.limit() == ("bound/x", 9.0)


def test_plan_keeps_to_the_budget_and_shares_it():
    from pagebox.bench import plan

    costs = {"cheap": 0.01, "same": 0.01, "crowd": 0.02, "dear": 3.0}
    pilots, weights = dict.fromkeys(costs, 0.004), {**dict.fromkeys(costs, 1), "crowd": 2}
    rounds, times, all_s = plan.plan(costs, pilots, weights, 40, 9, 3)
    assert rounds == 9 and 38 < all_s <= 40.001, (rounds, all_s)
    assert times["cheap"] == times["same"] > 0.004 and times["dear"] == 0.004, times
    rounds, times, all_s = plan.plan(costs, pilots, weights, 1, 9, 3)
    assert rounds == 3 and times["dear"] == 0.004 and all_s > 9, "at least three, whatever it takes"


def test_extra_rounds_go_to_the_widest_and_what_stands_beside():
    from pagebox.bench import plan

    costs = {"a": 1, "b": 1, "bound": 1, "c": 5}
    widths, beside = {"a": 0.3, "b": 0.9, "c": 2.0}, {"b": ["bound"], "a": ["bound"]}
    assert plan.extra_rows(widths, beside, costs, 3) == ["b", "bound", "a"]
    assert plan.extra_rows(widths, beside, costs, 0.5) == []


# ---------------------------------------------------------------- beside peers and limits


def made_rows(times, bounds):
    """Rows of a run: name -> the rounds' times in ns, name -> names of the rows that it is compared with."""
    from pagebox.bench import measures

    row = {"iterations": 9, "time_unit": "ns"}
    rows = [row | {"name": n, "round": i, "real_time": float(t)} for n, ts in times.items()
            for i, t in enumerate(ts)]
    return measures.Rows({"bounds": bounds, "words": described()}, rows, {})


def behind_in(rows):
    from pagebox.bench import behind

    return {(one.figures.name, one.other): why for one, why in behind.behind(rows)}


def test_behind_are_rows_above_a_peer_or_the_limit_by_their_whole_interval():
    limit, peer = "bound/mprotect/pages:16", "peer/grow/of:wabt/pages:16"
    ours = "memory/grow/strategy:reserve/pages:16"
    flat = [100.0] * 6
    for times, wanted in (
        ([125, 126, 127, 124, 128, 125], {limit, peer}),
        ([115, 116, 117, 114, 118, 115], {peer}),
        ([115, 130, 140, 135, 130, 130], {peer}),  # above 1.2, but not with its whole interval
        ([99, 105, 110, 98, 104, 106], set()),
        ([900, 900], set()),  # two rounds
    ):
        found = behind_in(made_rows({ours: times, limit: flat, peer: flat}, {ours: [limit, peer]}))
        assert {other for _, other in found} == wanted, (times, found)


def test_behind_leaves_out_what_is_not_the_reference():
    flat = {"bound/lock/threads:1": [1] * 6}
    others = ["mailbox/enqueue/orders:sc/threads:1", "peer/enqueue/of:ck/threads:1", "fuzz/execution/target:x"]
    times = {name: [9] * 6 for name in others} | flat
    assert not behind_in(made_rows(times, {name: list(flat) for name in others}))
    ours = "mailbox/enqueue/orders:chosen/threads:1"
    assert behind_in(made_rows({ours: [9] * 6} | flat, {ours: list(flat)}))


def test_behind_rows_have_a_reason_or_are_counted():
    from pagebox.bench import behind
    from pagebox.bench import page as bench_page
    from pagebox.common import report

    known, unknown = "memory/create/strategy:guard/pages:16", "memory/touch/strategy:reserve/pages:16"
    limit = "bound/touch/pages:16"
    bounds = {known: [limit], unknown: [limit]}
    rows = made_rows({known: [900] * 6, unknown: [300] * 6, limit: [100] * 6}, bounds)
    made = bench_page.Report({"bounds": bounds, "words": described()}, [], {})
    made.rows = rows
    assert made.summary()["behind"] == 2 and made.summary()["behind_not_explained"] == 1
    text = "\n".join(report.markdown_section(behind.section(rows), 2, {}))
    first, second = [line for line in text.splitlines() if line.startswith(("| 1 |", "| 2 |"))]
    assert "guard: a marker" in first and "9.0×" in first, text
    assert "not explained" in second and "3.0×" in second, text
    said = behind.sentence(rows)
    assert "0 of 2 rows with a physical limit are within 1.2" in said, said
    assert "1 of them are not explained" in said, said


def test_behind_reasons_each_explain_some_row():
    from pagebox.bench import behind

    _, output, _ = run(BENCH, "--list")
    texts = []
    for line in output.splitlines():
        name, _, beside = line.partition("\t")
        texts += [f"{name},{other}" for other in beside.split(",") if other]
    known = behind.reasons()
    assert known
    for pattern, words in known:
        first = [t for t in texts if next(p for p, _ in [*known, ("", "")] if re.search(p, t)) == pattern]
        assert first, f"no row is explained by {pattern}"
        assert len(words) > 30, words


def test_answers_say_what_an_execution_costs_beside_the_bare_loop():
    from pagebox.bench import answers

    ours, bare = "fuzz/execution/target:memory_fuzzer", "bound/fuzz/target:memory_fuzzer"
    for ns, words in ((125_000, "125 µs (1.2× the limit, loop of"), (250_000, "250 µs (2.5× the limit, loop of")):
        rows = made_rows({ours: [ns] * 6, bare: [100_000] * 6}, {ours: [bare]})
        ((said, rests_on, first),) = answers.rested(rows)
        assert words in said and f"{1e9 / ns:,.0f} a second" in said, said
        assert {f.name for f in rests_on} == {ours} and not first


def test_answers_leave_out_what_lacks_its_rows():
    from pagebox.bench import answers

    rows = made_rows({"a": [10] * 6, "b": [20] * 6}, {"a": ["b"]})
    filled = lambda text: answers.Sentence(rows).filled(text)
    assert filled("{time a}, {ratio b a}[; {time c}][; again {time b}].") == "10 ns, 2.0×; again 20 ns."
    for text in ("{time a} {time c}.", "Either:[ {time c};][ {time d}]."):
        try:
            raise AssertionError(filled(text))
        except answers.Missing:
            pass
    assert filled("Either:[ {time a};][ {time c}].") == "Either: 10 ns."
    assert filled("{faster a b | [yes] | no} {faster b a | yes | no}") == "[yes] no"


def described(variables=None):
    """What the program says about its rows and the report."""
    status, output, errors = run_with(variables or {}, BENCH, "--describe")
    assert status == 0, errors
    return json.loads(output)


def test_words_of_each_row_have_a_place_of_their_own():
    made = described({"SUBJECT": str(ROOT / "build/subjects/template.so")})
    titles = [section["title"] for section in made["sections"]]
    assert len(set(titles)) == len(titles)
    assert all(section["inside"] in [None, *titles] for section in made["sections"])
    seen, filled = {}, set()
    for row in made["rows"]:
        for place in row["places"]:
            key = place["section"], place["line"], place["column"]
            assert key not in seen, (key, row["name"], seen[key])
            seen[key] = row["name"]
            filled.add(place["section"])
        told = row["places"] or row["kind"] != "ours" or "jemalloc_" in row["name"]
        assert told, f"{row['name']} is in no section"
        assert row["words"], row["name"]
    around = {section["inside"] for section in made["sections"]}
    empty = [t for t in titles if t not in filled and t not in around]
    # The template offers neither waits nor a mailbox.
    assert set(empty) <= {"Wait and notify, there and back between two cores"}, empty


def test_sentences_ask_for_rows_that_there_are():
    made = described({"SUBJECT": "reference"})
    names = {row["name"] for row in made["rows"]}
    for answer in made["answers"]:
        marks = re.findall(r"\{([^}]*)\}", answer["text"])
        assert marks, answer
        for what, *asked in (mark.split(" | ")[0].split(" ") for mark in marks):
            for name in asked:
                pattern = what in ("least", "most", "rank", "ratios", "dearest")
                found = any(re.search(name, n) for n in names) if pattern else name in names
                assert found, (answer["text"], name)


# ---------------------------------------------------------------- two runs


def made_run(folder, factor, cpu="one"):
    """A run of 7 rounds: `same` varies alike whatever the factor, `changed` is multiplied by it."""
    rows = []
    for number in range(7):
        for name, ns in (("same", 100 + 3 * number), ("changed", factor * (100 + number))):
            row = {"name": name, "iterations": 9, "time_unit": "ns", "real_time": ns, "cpu_time": ns}
            rows.append(row | {"round": number, "position": 0, "run_type": "iteration"})
    (folder / "raw").mkdir(parents=True)
    (folder / "raw" / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "raw" / "run.json").write_text(json.dumps({"bounds": {}}))
    (folder / "report.json").write_text(json.dumps({"machine": {"cpu": cpu}}))


def test_compare_marks_what_changed_and_only_that():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        made_run(folder / "a", 1)
        made_run(folder / "b", 1.5)
        script = ROOT / "scripts" / "bench_compare.py"
        status, output, errors = run(script, folder / "a", folder / "b", "--root", folder)
        assert status == 0 and "warning" not in errors, errors
        latest = folder / "results" / "compare" / "latest"
        items = {i["name"]: i for i in json.loads((latest / "report.json").read_text())["items"]}
        assert items["changed"]["verdict"] == "slower" and abs(items["changed"]["ratio"] - 1.5) < 1e-9
        assert items["changed"]["low"] <= 1.5 <= items["changed"]["high"]
        assert items["same"]["verdict"] == "no difference seen" and items["same"]["ratio"] == 1
        status, _, _ = run(script, folder / "b", folder / "a", "--root", folder)
        items = {i["name"]: i for i in json.loads((latest / "report.json").read_text())["items"]}
        assert status == 0 and items["changed"]["verdict"] == "faster"


def test_compare_warns_when_machines_differ():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        made_run(folder / "a", 1)
        made_run(folder / "b", 1, cpu="another")
        script = ROOT / "scripts" / "bench_compare.py"
        status, output, errors = run(script, folder / "a", folder / "b", "--root", folder)
        text = (folder / "results" / "compare" / "latest" / "report.md").read_text()
        assert status == 0 and "cpu differs" in errors and "machines differ" in text


def test_compare_of_pairs_cancels_drift_and_three_rounds_say_nothing():
    from pagebox.bench import compare
    from pagebox.bench import measures

    def figures(values):
        row = {"name": "a", "iterations": 1, "time_unit": "ns"}
        rows = [row | {"round": i, "real_time": float(v)} for i, v in enumerate(values)]
        return {"a": measures.Figures("a", rows)}

    # Drift that affects both sides does not hide a difference within each pair.
    drift = [100, 200, 300, 400, 500, 600]
    (item,) = compare.compare(figures(drift), figures([v * 0.9 for v in drift]), paired=True)
    assert item["verdict"] == "faster" and abs(item["ratio"] - 0.9) < 1e-9
    for paired in (True, False):
        (item,) = compare.compare(figures(drift[:3]), figures([9, 18, 27]), paired=paired)
        assert item["verdict"] == "too few rounds", item


def test_compare_wrong_usage_ends_with_2_and_a_message():
    script = ROOT / "scripts" / "bench_compare.py"
    wrong = ([], ["a"], ["no/such", "folder"], ["--filter=("], ["--rounds=0", "a", "b"],
             ["--revisions", "no-such-revision", "worktree"], ["a", "b", "--revisions", "a", "b"])
    for options in wrong:
        status, _, errors = run(script, *options)
        assert status == 2 and errors.strip(), options


def test_rows_are_there_as_google_benchmark_writes_them():
    from pagebox.bench import run as bench_run

    row = {"name": "a", "run_type": "iteration", "iterations": 1, "real_time": 1.0, "cpu_time": 1.0}
    rows = [row | {"time_unit": "ns", "round": number} for number in (-1, 0, 1)]
    made = bench_run.google_json({"context": {"date": "today"}}, rows)
    assert made["context"] == {"date": "today"} and len(made["benchmarks"]) == 2, "no pilot"
    assert [r["repetition_index"] for r in made["benchmarks"]] == [0, 1]
    assert {r["repetitions"] for r in made["benchmarks"]} == {2}


def test_tuned_list_names_revisions_rows_and_words():
    from pagebox.bench import compare

    _, output, _ = run(BENCH, "--list")
    names = [line.split("\t")[0] for line in output.splitlines()]
    entries = compare.tuned_entries()
    assert entries
    for revision, pattern, words in entries:
        assert any(re.search(pattern, name) for name in names), pattern
        assert len(words) > 10, words


# ---------------------------------------------------------------- what orders become


def test_barriers_are_counted_by_kind_and_function():
    from pagebox.bench import barriers

    text = """
0000000000000000 <pb_one>:
   0:\tldaxr\tw1, [x0]
   4:\tstxr\tw2, w1, [x0]
   8:\tcbnz\tw2, 0 <pb_one>

0000000000000010 <pb_one.cold>:
  10:\tstlr\tw1, [x0]
0000000000000020 <.L5>:
  20:\tdmb\tish

0000000000000030 <pb_two>:
  30:\tldaddal\tw1, w0, [x2]
  34:\tldadd\tw1, w0, [x2]
  38:\tldr\tw1, [x0]
"""
    functions = barriers.functions_of(text)
    one, two = (barriers.count("arm64", functions[f]) for f in ("pb_one", "pb_two"))
    assert sorted(functions) == ["pb_one", "pb_two"], functions
    assert one == {"ldaxr": 1, "stxr": 1, "stlr": 1, "dmb": 1}, one
    assert two == {"atomic": 1, "atomic, both": 1}, two
    assert barriers.ordering(one) == 3 and barriers.ordering(two) == 1
    body = ["lock xadd %eax,(%rdx)", "xchg %eax,(%rdx)", "xchg %ax,%ax", "call <pb_lock_acquire>"]
    assert barriers.count("x86-64", body) == {"lock": 1, "xchg": 1}
    body = ["amoor.w.aq a5,a4,(a3)", "amoor.w a5,a4,(a3)", "lr.w.aq a1,(a0)", "fence rw,rw"]
    found = barriers.count("riscv64", body)
    assert found == {"fence": 1, "lr.aq": 1, "amo": 1, "amo.aq": 1}, found


def test_barriers_of_every_table_here_and_none_lost_when_all_is_sc():
    import os

    from pagebox.bench import barriers

    if os.uname().machine != "x86_64":
        return
    found = barriers.measure(jobs=1, run_programs=False, only="x86-64")
    tables = found["targets"]["x86-64"]["tables"]
    counts = {t: barriers.ordering(figures["counts"]) for t, figures in tables.items()}
    assert set(counts) == set(barriers.TABLES) and counts["sc"] > counts["chosen"] > 0, counts
    sites = found["targets"]["x86-64"]["sites"]
    assert sites["MAILBOX_TAIL_PUBLISH"]["change"].get("xchg", 0) > 0, "a store became an exchange"
    assert sites["MAILBOX_HEAD_SEE"]["same_code"], "a load is the same in every order here"
    from pagebox.common import report

    lines = [l for s in barriers.sections(found) for l in report.markdown_section(s, 2, {})]
    text = "\n".join(lines)
    assert "pb_mailbox_enqueue" in text and "same code" in text


class Spread:
    """Rows of which one is noisy."""

    def __init__(self, noisy):
        figure = lambda name, width, noisy: types.SimpleNamespace(name=name, ns=1.0, width=width, noisy=noisy)
        self.good = {"a": figure("a", 0.05, False), "b": figure("b", 0.9, noisy)}
        self.facts, self.all = {}, self.good
        self.measured, self.disturbed = 7, 3

    def get(self, name):
        return self.good.get(name)


def test_figures_that_noise_swallows_are_not_quoted():
    from pagebox.bench import page

    for noisy in (False, True):
        made = page.Report.__new__(page.Report)
        made.rows = Spread(noisy)
        a, b = made.rows.get("a"), made.rows.get("b")
        made.rested = lambda: [(f"**Steady** takes {a.ns}.", [a], True), (f"**Shaky** takes {a.ns + b.ns}.", [a, b], True)]
        first, second = made.answers()[:2]
        assert "**Steady** takes 1.0. (Rests on 1 row, intervals within 5 %" in first.text, first.text
        assert ("**Shaky** takes" in first.text) != noisy
        assert ("Shaky (1 of 2 rows)" in second.text) == noisy
        assert "3 of 7 measurements were disturbed" in second.text
        assert made.judged("pass") == "pass"  # half of the rows is not more than half
    made.rows.good["a"].noisy = True
    assert made.judged("pass") == "inconclusive" and made.judged("interrupted") == "interrupted"
