"""Tests of scripts/setup, scripts/test.sh and scripts/help.awk, which are run with the test's own package database and
command folder."""
import os
import pathlib
import re
import shutil
import subprocess

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent
REPO = SCRIPTS.parent
NEEDED = "sh echo dirname awk sed id env nproc make printf cat date mkdir tee".split()
APT = ["dpkg-query", "apt-get"]
NOBODY = 65534
# Without the variables that the make running these tests passes to the makes that they run.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


def run(command, **settings):
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(command, text=True, **pipes, **settings)


def setup_packages():
    text = (SCRIPTS / "setup").read_text()
    return [line.split() for line in text.split("<<'TABLE'\n")[1].split("\nTABLE")[0].splitlines()]


def run_setup(root, arguments, installed=(), commands=(), system="debian-12"):
    """Runs scripts/setup without sudo or root rights, on a system where only `installed` is installed."""
    base = pathlib.Path(root)
    base.chmod(0o755)
    records = [f"Package: {name}\nStatus: install ok installed\nVersion: 1\n" for name in installed]
    (base / "dpkg").mkdir()
    (base / "dpkg/status").write_text("\n".join(records))
    (base / "bin").mkdir()
    for name in NEEDED + list(commands):
        (base / "bin" / name).symlink_to(shutil.which(name))
    (base / "scripts").mkdir()
    name, _, version = system.partition("-")
    (base / "os-release").write_text(f"ID={name}\nVERSION_ID={version}\n")
    text = (SCRIPTS / "setup").read_text().replace("/etc/os-release", str(base / "os-release"))
    (base / "scripts/setup").write_text(text)
    (base / "scripts/setup").chmod(0o755)
    (base / "Makefile").write_text("fine:\n\t@echo made $(WITH)\nbad:\n\t@exit 1\n")
    env = {"PATH": str(base / "bin"), "DPKG_ADMINDIR": str(base / "dpkg")}
    less = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    return run([str(base / "scripts/setup"), *arguments], env=env, **less)


def test_without_rights_setup_prints_the_command(root):
    done = run_setup(root, ["test"], installed=["make", "git"], commands=APT)
    assert done.returncode == 2, done
    command = re.search(r"^    apt-get update && apt-get install -y .*", done.stderr, re.M).group(0)
    names = command.split("--no-install-recommends")[1].split()
    wanted = {p for p, groups, *_ in setup_packages() if set(groups.split(",")) & {"base", "test"}}
    assert set(names) == wanted - {"make", "git"} and len(names) == len(set(names)), names
    assert "made" not in done.stdout


def test_each_target_gets_its_own_groups(root):
    done = run_setup(root, ["bench"], commands=APT)
    assert "libbenchmark-dev" in done.stderr and "afl++" not in done.stderr, done


def test_with_nothing_missing_setup_runs_make_and_keeps_its_arguments(root):
    names = [row[0] for row in setup_packages()]
    done = run_setup(root, ["fine", "WITH=two words"], installed=names, commands=APT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "made two words\n", ""), done


def test_setup_gives_the_status_of_make(root):
    names = [row[0] for row in setup_packages()]
    done = run_setup(root, ["bad"], installed=names, commands=APT)
    assert done.returncode == 2, done


def test_without_apt_setup_lists_what_is_needed(root):
    done = run_setup(root, ["test"])
    assert done.returncode == 2 and "not a Debian" in done.stderr, done
    assert all(row[0] in done.stderr for row in setup_packages())


def test_unknown_option_is_refused(root):
    done = run_setup(root, ["--frobnicate"], commands=APT)
    assert done.returncode == 2 and "--help" in done.stderr, done


PARTS = """
good:
\t@echo 3 passed, 0 failed; echo 4 passed, 0 failed
bad:
\t@echo 2 passed, 1 failed; exit 1
crash:
\t@echo 5 passed, 0 failed; kill -SEGV $$$$
silent:
\t@true
"""


def total_of(root, parts):
    """The last line and the exit status of `make test` with these parts."""
    (pathlib.Path(root) / "scripts").mkdir()
    shutil.copy(SCRIPTS / "test.sh", pathlib.Path(root) / "scripts/test.sh")
    (pathlib.Path(root) / "Makefile").write_text(PARTS)
    done = run([f"{root}/scripts/test.sh"], env={**ENVIRONMENT, "TEST_PARTS": parts, "MAKE": "make"})
    return done.stdout.splitlines()[-1], done.returncode, done.stdout


def test_parts_are_added_up(root):
    assert total_of(root, "good good")[:2] == ("14 passed, 0 failed", 0)


def test_failure_in_a_part_is_counted(root):
    last, status, text = total_of(root, "good bad")
    assert (last, status) == ("9 passed, 1 failed", 1) and "failed in: bad\n" in text


def test_part_that_crashes_is_a_failure_by_name(root):
    last, status, text = total_of(root, "good crash")
    assert (last, status) == ("12 passed, 1 failed", 1) and "FAIL crash" in text


def test_part_that_counts_nothing_is_a_failure_by_name(root):
    last, status, text = total_of(root, "good silent")
    assert (last, status) == ("7 passed, 1 failed", 1) and "FAIL silent" in text


def test_part_that_does_not_exist_is_a_failure_by_name(root):
    last, status, text = total_of(root, "good nowhere")
    assert (last, status) == ("7 passed, 1 failed", 1) and "FAIL nowhere" in text


DEMO = """
fuzz:
\t@echo fuzz for $(TIME); ln -sfn new results/fuzz/latest; exit 1
bench:
\t@echo bench quick $(QUICK)
"""


def test_demo_goes_on_after_a_finding_and_shows_only_new_reports(root):
    base = pathlib.Path(root)
    (base / "scripts").mkdir()
    for name in ("demo.sh", "report.py"):
        shutil.copy(SCRIPTS / name, base / "scripts" / name)
    shutil.copytree(SCRIPTS / "pagebox", base / "scripts/pagebox")
    for kind in ("fuzz", "bench"):  # `old` was left by an earlier run
        for name in ("old", "new"):
            folder = base / "results" / kind / name
            folder.mkdir(parents=True)
            text = f'{{"status": "finding", "summary": {{"which": "{name}"}}}}'
            (folder / "report.json").write_text(text)
        (base / "results" / kind / "latest").symlink_to("old")
    (base / "Makefile").write_text(DEMO)
    done = run([str(base / "scripts/demo.sh")], env={**ENVIRONMENT, "TIME": "7", "MAKE": "make"})
    assert done.returncode == 1, done
    assert "fuzz for 7\n" in done.stdout and "bench quick 1\n" in done.stdout
    assert "fuzz: finding (which new)" in done.stdout
    assert "bench: wrote no report in this run" in done.stdout


def makefiles():
    files = [REPO / "Makefile", *REPO.glob("*/*.mk"), *REPO.glob("*/*/*.mk")]
    return "\n".join(file.read_text().replace("\\\n", " ") for file in files)


def unlisted_variables(text):
    """`target: VARIABLE` for each variable that a recipe uses, no makefile sets, and the help does not name."""
    settings = dict(re.findall(r"^(\w+) *(?:=|:=)(.*)", text, re.M))
    own = {"MAKE", "MAKEFLAGS", "CURDIR", "MAKEFILE_LIST"}
    for target, words, recipe in re.findall(r"^([\w.-]+):.*## (.*)\n((?:\t.*\n)*)", text, re.M):
        for _ in range(2):  # variables may use others
            recipe = re.sub(r"\$\((\w+)\)", lambda m: settings.get(m[1], m[0]), recipe)
        asked = set(re.findall(r"\$\(([A-Z]\w*)\)", recipe)) - own
        yield from (f"{target}: {name}" for name in sorted(asked) if not re.search(rf"\b{name}\b", words))


def test_help_names_every_variable_of_a_target(root):
    plain = "SET = $(if $(ONE),-1 $(ONE))\nrun: ## runs (TWO=)\n\t@run $(SET) $(TWO) $@\n"
    assert list(unlisted_variables(plain)) == ["run: ONE"]
    assert not list(unlisted_variables(makefiles())), list(unlisted_variables(makefiles()))


def test_help_lists_every_target(root):
    """All targets that a makefile declares phony under a plain name (not FORCE and the like)."""
    shown = run(["make", "-s", "-C", str(REPO), "help"], env=ENVIRONMENT).stdout
    listed = set(re.findall(r"^  ([\w.-]+) ", shown, re.M))
    phony = set()
    for names in re.findall(r"^\.PHONY:(.*)", makefiles(), re.M):
        phony |= {n for n in names.split() if re.fullmatch(r"[a-z][\w.-]*", n)}
    assert {"lib", "test", "help"} <= phony
    assert not phony - listed, f"without a ## text: {sorted(phony - listed)}"


def test_unknown_target_is_named(root):
    done = run(["make", "-C", str(REPO), "no-such-target"], env=ENVIRONMENT)
    assert done.returncode == 2 and "no-such-target" in done.stderr, done
    assert "make help" in done.stderr, done


def test_everything_can_be_made_anew(root):
    status, errors = refused("-B", "lib")
    assert status == 0 and not errors, (status, errors)


def test_missing_tool_is_one_line_that_names_setup(root):
    base = pathlib.Path(root)
    for folder in ("bin", "ref"):
        (base / folder).mkdir()
    for name in ("sh", "make", "find", "mkdir", "printf", "grep", "sed", "sort"):
        (base / "bin" / name).symlink_to(shutil.which(name))
    shutil.copy(REPO / "Makefile", base / "Makefile")
    (base / "ref/a.c").write_text("int a;\n")
    done = run(["make", "-s", "-C", root, "build/asan/ref/a.o"], env={**ENVIRONMENT, "PATH": str(base / "bin")})
    lines = [line for line in done.stderr.splitlines() if "missing" in line]
    assert done.returncode == 2 and len(lines) == 1, done
    assert "clang is missing: run scripts/setup" in lines[0] and len(done.stderr.splitlines()) == 1, done


def refused(*words):
    """make's message for such a command; nothing is run."""
    done = run(["make", "-C", str(REPO), "-n", *words], env=ENVIRONMENT)
    return done.returncode, done.stderr


def test_a_setting_that_a_target_does_not_have_is_refused(root):
    for words, likely in ((("fuzz", "TIM=3"), "TIME="), (("gate", "BSE=x"), "BASE="), (("bench", "QUIC=1"), "QUICK=")):
        status, errors = refused(*words)
        assert status == 2 and f"is it {likely}?" in errors, (words, errors)
    for words in (("fuzz", "FILTER=x"), ("help", "JOBS=1"), ("gate", "SEED=1", "BASE=x")):
        assert refused(*words)[0] == 2, words
    for words in (("fuzz", "TIME=3", "CC=cc"), ("lib", "V=1"), ("fuzz", "bench", "TIME=3", "QUICK=1"), ("ref/memory.h", "X=1")):
        assert refused(*words)[0] == 0, (words, refused(*words))


def documented_commands():
    """All `make target NAME=value...` in the documents."""
    listed = run(["git", "-C", str(REPO), "ls-files", "*.md", "*.yml"], env=ENVIRONMENT).stdout.split()
    for name in listed:
        text = re.sub(r"'[^']*'", "x", (REPO / name).read_text(errors="replace"))
        for found in re.finditer(r"\bmake ([a-z][a-z-]*)((?: +[A-Z_]+=[^\s`)|;,]*)+)", text):
            yield name, found[1], re.findall(r"([A-Z_]+)=", found[2])


def test_documented_commands_use_settings_that_exist(root):
    commands = list(documented_commands())
    assert len(commands) > 20
    for name, goal, settings in commands:
        status, errors = refused(goal, *(f"{setting}=" for setting in settings))
        assert "there is no setting" not in errors, (name, goal, settings, errors)


def test_make_n_starts_no_run(root):
    for words in (["fuzz"], ["gate", "BASE=HEAD"], ["test"], ["demo"]):
        done = run(["make", "-C", str(REPO), "-n", *words], env=ENVIRONMENT, timeout=600)
        assert done.returncode == 0 and "scripts/" in done.stdout, (words, done)


def test_a_missing_tool_is_told_before_anything_is_built(root):
    done = run(["make", "-C", str(REPO), "-s", "test"], env={**ENVIRONMENT, "CLANG": "no-such-clang"}, timeout=600)
    assert done.returncode == 2 and "missing: clang" in done.stderr and "==" not in done.stdout, done


def test_a_path_with_spaces_builds_subjects_and_installs(root):
    tree = pathlib.Path(root) / "a b"
    tree.mkdir()
    for name in ("Makefile", "ref", "fuzz", "scripts"):
        if (REPO / name).is_dir():
            shutil.copytree(REPO / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "defects"))
        else:
            shutil.copy(REPO / name, tree / name)
    done = run([str(tree / "fuzz/subjects/build.sh"), str(tree / "x.so"), str(tree / "fuzz/subjects/template.c")])
    assert done.returncode == 0 and (tree / "x.so").is_file(), done
    place = pathlib.Path(root) / "c d"
    done = run(["make", "-s", "-C", str(tree), "install", f"PREFIX={place}"], env=ENVIRONMENT)
    assert done.returncode == 0 and (place / "include/pagebox/memory.h").is_file(), done
    assert "c\\ d" in (place / "lib/pkgconfig/pagebox.pc").read_text()


def names_on(root, system, groups="test"):
    """What setup would install on another system, under that system's package names."""
    base = pathlib.Path(root) / system
    base.mkdir()
    pathlib.Path(root).chmod(0o755)
    done = run_setup(base, [groups], commands=APT, system=system)
    assert done.returncode == 2, done
    return re.search(r"--no-install-recommends (.*)", done.stderr).group(1).split()


def test_other_systems_have_their_own_names(root):
    here, trixie, noble = (set(names_on(root, s)) for s in ("debian-12", "debian-13", "ubuntu-24.04"))
    assert {"clang-14", "libclang-rt-14-dev"} <= here
    assert {"clang-19", "libclang-rt-19-dev"} <= trixie and not any("-14" in name for name in trixie)
    assert {"clang-18", "libclang-rt-18-dev"} <= noble and not any("-14" in name for name in noble)


def test_explore_needs_little(root):
    names = names_on(root, "debian-12", "explore")
    assert "clang" in names and len(names) < 12 and "nodejs" not in names, names
