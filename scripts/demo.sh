#!/bin/sh
# demo.sh: `make demo`. A short fuzz (TIME seconds a target) and a quick benchmark, then where their
# reports are. A finding of the fuzz does not keep the benchmark from running; an interrupt does,
# and what was found until then is in the fuzz report.
# Exit status: 0; 1 when a part failed or found something; 130 interrupted.
set -u
cd "$(dirname "$0")/.." || exit 2
make="${MAKE:-make} --no-print-directory"

# Where the latest reports of before are: an older report would tell of another run.
latest() { readlink "results/$1/latest"; }
old_fuzz=$(latest fuzz)
old_bench=$(latest bench)

status=0
trap 'status=130' INT TERM
$make fuzz "TIME=${TIME:-60}" || [ $status = 130 ] || status=1
[ $status = 130 ] || $make bench QUICK=1 || [ $status = 130 ] || status=1

show() {
    if [ "$(latest "$1")" != "$2" ]; then
        scripts/report.py "$1"
    else
        echo "$1: wrote no report in this run"
    fi
}
echo
echo "The reports, to open in a browser:"
show fuzz "$old_fuzz"
show bench "$old_bench"
exit $status
