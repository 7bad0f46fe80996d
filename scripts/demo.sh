#!/bin/sh
# demo.sh: `make demo`. A short fuzz (TIME seconds a target) and a quick benchmark, then where their
# reports are. A finding of the fuzz does not keep the benchmark from running; an interrupt does,
# and what was found until then is in the fuzz report.
# Exit status: 0; 1 when a part failed or found something; 130 interrupted.
set -u
cd "$(dirname "$0")/.." || exit 2
mkdir -p build && : >build/demo.start || exit 2
make="${MAKE:-make} --no-print-directory"

status=0
trap 'status=130' INT TERM
$make fuzz "TIME=${TIME:-60}" || [ $status = 130 ] || status=1
[ $status = 130 ] || $make bench QUICK=1 || [ $status = 130 ] || status=1

echo
echo "The reports, to open in a browser:"
for kind in fuzz bench; do
    # Only what this run wrote: an older report would tell of another run.
    if [ -n "$(find results/$kind/latest/report.json -newer build/demo.start 2>/dev/null)" ]; then
        scripts/report.py $kind
    else
        echo "$kind: wrote no report in this run"
    fi
done
exit $status
