#!/bin/sh
# demo.sh: `make demo`. A short fuzz run (TIME seconds per target) and a quick benchmark, then the paths
# of their reports. The benchmark runs even if fuzzing finds something, but not after an interrupt;
# the fuzz report then has what was found.
# Exit status: 0; 1 if a part failed or found something; 130 interrupted.
set -u
cd "$(dirname "$0")/.." || exit 2
make="${MAKE:-make} --no-print-directory"

# The latest reports so far, so that an older report is not shown as this run's.
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
