#!/usr/bin/env bash
# The engine of cards on a real card: one call, a table at the end, the logs beside it.
#
#   check.sh PROGRAM [SUITE]
#
# PROGRAM is the release build; SUITE, the test program (`cargo test --release --test suite
# --no-run` names it), is run where it is given. Nothing is fetched and nothing is built. Python
# with PyTorch for CUDA, where there is one (PYTHON names it), times the same steps. In this order:
#   machine    the card, its driver, its memory
#   layers     every layer of three networks against the processor
#   suite      operations, networks, ten steps and interruptions against the other engines
#   bytes      one sweep twice, one training at a time, and many beside a busy process: the same
#              bytes
#   kill       a training killed twice goes on to the bytes of one that was not
#   leases     no card, the wrong card, two sweeps on one card
#   table2     Table II on synthetic data
#   speed      training steps, and PyTorch's
#   sanitizer  the driver's own checker, where it is installed
# Environment: OUT (./device-check), CARD (cuda:0), ONLY (names from the list). On a card that is
# only emulated, smaller ones of LAYERS and SHAPES (networks; of the first and the last, NETWORKS are
# trained at once, and PyTorch times them), SWEEP (more words for `run`, such as
# `--set pretrain.steps=2`), STEPS (of the training that is killed) and WAIT (seconds of Table II).
set -uo pipefail
program=$(realpath "${1:?usage: check.sh PROGRAM [SUITE]}")
suite=${2:+$(realpath "$2")}
here=$(cd "$(dirname "$0")" && pwd)
experiments=$(cd "$here/../../experiments" && pwd)
out=$(realpath -m "${OUT:-device-check}")
card=${CARD:-cuda:0}
layers=${LAYERS:-4:32:4 8:64:16 64:192:16}
shapes=${SHAPES:-8:64:16 16:64:16 32:96:16 64:192:16}
networks=${NETWORKS:-4 16 64}
python=${PYTHON:-python3}
mkdir -p "$out"
cd "$out"
: > table.md
failures=0

check() { # NAME: runs the function of that name; its last line is what the table tells
    local name=$1 begin=$SECONDS how
    if [ -n "${ONLY:-}" ] && [[ " $ONLY " != *" $name "* ]]; then return; fi
    "check_$name" > "$name.log" 2>&1
    case $? in
        0) how=ok ;;
        77) how=skipped ;;
        *) how=FAILED; failures=$((failures + 1)) ;;
    esac
    local figures
    figures=$(tail -1 "$name.log" | tr '|' '/')
    echo "| $name | $how | $((SECONDS - begin)) s | $figures |" | tee -a table.md
}

# RESULTS, then what `run` takes: a small sweep on the card. In the background it is the program
# itself that `$!` names.
run_on() {
    local results=$1
    shift
    local words=(run "$experiments/table2.toml" --profile smoke --dataset phantom)
    # shellcheck disable=SC2206 # words
    words+=(--device "$card" --results "$results" ${SWEEP:-})
    words+=("$@")
    if [ "$BASHPID" = "$$" ]; then "$program" "${words[@]}"; else exec "$program" "${words[@]}"; fi
}

# Every published file of a store but its descriptions, which hold times.
digests() {
    (cd "$1/store" && find . -type f ! -name '*.json' ! -path './tmp/*' -exec sha256sum {} +) |
        sort -k2
}

check_machine() {
    nvidia-smi -L || return 77
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv
    "$program" doctor
    "$program" doctor | grep "^cuda:0"
}

check_layers() {
    local shape
    for shape in $layers; do
        "$program" doctor --device "$card" --shape "$shape" || return 1
    done
    "$program" doctor --device "$card" --shape "${layers##* }" --precision tf32 || return 1
    echo "every layer of $layers, and of the last in tf32"
}

check_suite() {
    [ -n "$suite" ] || { echo "no test program was given"; return 77; }
    EXPERTGRID_TEST_CARD=1 "$suite" engine::cuda train::card --test-threads 1 | tee suite.out
    local code=$?
    grep "^test result" suite.out
    return $code
}

check_bytes() {
    run_on first --jobs 1 || return 1
    run_on busy --set pretrain.steps=400 > /dev/null 2>&1 &
    local beside=$!
    run_on second
    local code=$?
    kill "$beside" 2> /dev/null
    wait "$beside" 2> /dev/null
    [ $code = 0 ] || return 1
    digests first > first.sha256
    digests second > second.sha256
    diff first.sha256 second.sha256 || return 1
    "$program" store audit --sample 5 --results first --dataset phantom \
        --device "$card" || return 1
    echo "$(wc -l < first.sha256) files twice the same"
}

check_kill() {
    local one='method="w/o" and expert=6 and n=34 and start=1'
    local long=(--set "scratch.steps=${STEPS:-20000}" --only "$one")
    run_on whole "${long[@]}" || return 1
    local round parent tries
    for round in 1 2; do
        run_on killed "${long[@]}" --save-every 1s &
        parent=$!
        # Once progress is saved: the parent at once, its worker by its closed input.
        for tries in $(seq 600); do
            [ -z "$(ls killed/store/partial 2> /dev/null)" ] || break
            sleep 0.1
        done
        kill -9 $parent || { echo "the training ended before it was killed"; return 1; }
        wait $parent 2> /dev/null
        sleep 2
    done
    run_on killed "${long[@]}" || return 1
    digests whole > whole.sha256
    digests killed > killed.sha256
    diff whole.sha256 killed.sha256 || return 1
    echo "killed twice, the same $(wc -l < whole.sha256) files"
}

check_leases() {
    ! "$program" bench 4:32:4 --device cuda:97 || return 1
    CUDA_VISIBLE_DEVICES='' "$program" doctor | grep "^cards: none" || return 1
    run_on shared > one.log 2>&1 &
    local one=$!
    run_on shared || return 1
    wait $one || return 1
    echo "two sweeps shared one card and one store"
}

check_table2() {
    local begin=$SECONDS
    # What is not done then stays in the store.
    timeout -s INT -k 20 "${WAIT:-90}" "$program" run "$experiments/table2.toml" --profile phantom \
        --dataset phantom --device "$card" --results table2
    local code=$?
    # 124 and 137: it took too long.
    [ $code = 0 ] || [ $code = 124 ] || [ $code = 137 ] || return 1
    echo "$((SECONDS - begin)) s, $("$program" status --results table2 | tail -1)"
}

check_speed() {
    local shape
    local precision count ends="${shapes%% *} ${shapes##* }"
    for shape in $shapes; do
        for precision in f32 tf32; do
            "$program" bench "$shape" --device "$card" --precision "$precision" --json \
                > "step-$precision-${shape//:/-}.json" || return 1
        done
    done
    for shape in $ends; do
        for count in $networks; do
            # Where so many do not fit the card, the message is in the log.
            "$program" bench "$shape" --device "$card" --json --networks "$count" \
                > "step-f32-${shape//:/-}-$count.json"
        done
    done
    if "$python" -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null; then
        # shellcheck disable=SC2086 # a word for each shape
        "$python" "$here/torch_step.py" $ends > torch.json || return 1
    fi
    "$python" "$here/compare.py" .
}

check_sanitizer() {
    if ! command -v compute-sanitizer > /dev/null; then
        echo "compute-sanitizer is not installed"
        return 77
    fi
    local tool
    for tool in memcheck racecheck initcheck; do
        compute-sanitizer --tool "$tool" --error-exitcode 9 \
            "$program" bench 4:32:4 --device "$card" --steps 1 || return 1
    done
    echo "no fault of memory, no race, nothing read before it was written"
}

[ -d phantom ] || "$program" data phantom --out phantom > /dev/null
echo "| check | result | time | |" | tee -a table.md
echo "|---|---|---:|---|" | tee -a table.md
for name in machine layers suite bytes kill leases table2 speed sanitizer; do check "$name"; done
[ $failures = 0 ]
