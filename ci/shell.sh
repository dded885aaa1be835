#!/usr/bin/env bash
# `ringway` in a real shell: pipelines, a gigabyte, kills, exit codes, and nothing left behind.
set -uo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --release -p ringway-cli || exit 1
binary=$(realpath "${CARGO_TARGET_DIR:-target}/release/ringway")
scratch=$(mktemp -d)
RINGWAY_DIR=$(mktemp -d /dev/shm/ringway-shell-XXXXXX)
export RINGWAY_DIR
checks=0

cleanup() {
    # shellcheck disable=SC2046
    kill -KILL $(jobs -p) 2>/dev/null
    rm -rf "$scratch" "$RINGWAY_DIR"
}
trap cleanup EXIT

fail() { echo "shell.sh: $*" >&2; exit 1; }
ringway() { timeout --foreground -s KILL 120 "$binary" "$@"; }
# expect WHAT GOT WANTED
expect() {
    [ "$2" = "$3" ] || fail "$1: $2, expected $3"
    checks=$((checks + 1))
}
# Waits until a command succeeds.
await() {
    local tries=0
    until "$@" > /dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 6000 ] || fail "waited too long for: $*"
        sleep 0.01
    done
}
is_there() { [ -e "$RINGWAY_DIR/$1" ]; }
# figure NAME MEMBER: a number that `stat --json` shows under that name, the first one.
figure() { "$binary" stat "$1" --json | grep -o "\"$2\":[0-9]*" | sed -n '1s/.*://p'; }
at_least() { local now; now=$(figure "$1" "$2") && [ "${now:-0}" -ge "$3" ]; }
nothing_left() {
    local left
    left=$(ls -A "$RINGWAY_DIR")
    expect "names left after $1" "$left" ""
}
# The gigabyte; the second half of it only once there is a go.
half_and_half() {
    head -c $((bytes / 2)) "$scratch/big"
    until [ -e "$scratch/go" ]; do sleep 0.01; done
    tail -c +$((bytes / 2 + 1)) "$scratch/big"
}
# slay WHAT PID: kills it, and says nothing about it.
slay() {
    kill -KILL "$2"
    { wait "$2"; } 2> /dev/null
    expect "killed $1" $? 137
}
now() { date +%s%N; }
rate() { awk -v bytes="$1" -v from="$2" -v to="$3" 'BEGIN { s = (to - from) / 1e9; printf "%.2f s, %.2f GB/s", s, bytes / s / 1e9 }'; }

echo "--- tar, either side first"
mkdir "$scratch/one" "$scratch/two"
tar c src cli/src | ringway send x & sender=$!
await is_there x
ringway recv x | tar x -C "$scratch/one"
expect "recv | tar" "${PIPESTATUS[*]}" "0 0"
wait $sender; expect "tar | send" $? 0
ringway recv x > "$scratch/archive" & receiver=$!
await is_there x
tar c src cli/src | ringway send x
expect "tar | send" "${PIPESTATUS[*]}" "0 0"
wait $receiver; expect "recv" $? 0
tar x -C "$scratch/two" < "$scratch/archive"
diff -r src "$scratch/one/src" && diff -r cli/src "$scratch/two/cli/src" || fail "the trees differ"
nothing_left tar

echo "--- 1 GiB of random bytes, compared"
head -c $((1 << 30)) /dev/urandom > "$scratch/big" || fail "no room for a gigabyte in $scratch"
bytes=$(stat -c %s "$scratch/big")
ringway send big "$scratch/big" & sender=$!
ringway recv big | cmp - "$scratch/big"
expect "recv | cmp" "${PIPESTATUS[*]}" "0 0"
wait $sender; expect "send of 1 GiB" $? 0
from=$(now)
ringway send big "$scratch/big" & sender=$!
ringway recv big > /dev/null
expect "recv of 1 GiB" $? 0
wait $sender; expect "send of 1 GiB" $? 0
to=$(now)
echo "ringway, file to /dev/null: $(rate "$bytes" "$from" "$to")"
mkfifo "$scratch/fifo"
from=$(now)
cat "$scratch/big" > "$scratch/fifo" &
cat "$scratch/fifo" > /dev/null
wait $!
to=$(now)
echo "cat through a FIFO:         $(rate "$bytes" "$from" "$to")"
nothing_left "1 GiB"

echo "--- the receiver is killed half-way, another one started"
ringway send big --block 64K --wait 60 < <(half_and_half) 2> "$scratch/sender" & sender=$!
"$binary" recv big --out "$scratch/first" & receiver=$!
await at_least big read_bytes $((bytes / 4))
slay receiver $receiver
touch "$scratch/go"
ringway recv big --out "$scratch/second" 2> "$scratch/receiver"
expect "second receiver" $? 1
wait $sender; expect "sender that waited" $? 0
sed 's/^/sender:   /' "$scratch/sender"; sed 's/^/receiver: /' "$scratch/receiver"
grep -q "incomplete: [0-9,]* bytes of the stream went to another receiver" "$scratch/receiver" || fail "not told"
# The two files overlap by what the first was just writing, and together are the whole.
cmp "$scratch/first" "$scratch/big" 2>&1 | grep -v "EOF on $scratch/first" && fail "the first part differs"
size=$(stat -c %s "$scratch/second")
tail -c "$size" "$scratch/big" | cmp - "$scratch/second" || fail "the second part differs"
both=$(($(stat -c %s "$scratch/first") + size))
[ "$both" -ge "$bytes" ] && [ "$both" -le $((bytes + 131072)) ] || fail "$both bytes in both parts, of $bytes"
nothing_left "a killed receiver"

echo "--- the receiver is killed and nobody follows"
rm "$scratch/go"
ringway send big --block 64K < <(half_and_half) 2> "$scratch/sender" & sender=$!
"$binary" recv big > "$scratch/first" & receiver=$!
await at_least big read_bytes $((bytes / 8))
slay receiver $receiver
touch "$scratch/go"
wait $sender; expect "sender without a receiver" $? 1
sed 's/^/sender:   /' "$scratch/sender"
grep -q "the receiver is gone; of [0-9,]* bytes sent it received [0-9,]*, not the last" "$scratch/sender" || fail "not told"
nothing_left "a killed receiver without a successor"

echo "--- the sender is killed"
rm "$scratch/go"
"$binary" send big < <(half_and_half) & sender=$!
ringway recv big --out "$scratch/first" 2> "$scratch/receiver" & receiver=$!
await at_least big read_bytes $((bytes / 8))
slay sender $sender
touch "$scratch/go"
wait $receiver; expect "receiver of a killed sender" $? 1
sed 's/^/receiver: /' "$scratch/receiver"
grep -q "a sender died before it had finished" "$scratch/receiver" || fail "not told"
nothing_left "a killed sender"
rm "$scratch/big" "$scratch/first" "$scratch/second"

echo "--- lines, shared by three receivers"
for worker in 1 2 3; do
    ringway recv lines --lines > "$scratch/lines.$worker" & workers[worker]=$!
done
three_came() { "$binary" stat lines --json | grep '"second_end":{"arrivals":3' > /dev/null; }
await three_came
seq 1000000 | ringway send lines --lines
expect "seq | send" "${PIPESTATUS[*]}" "0 0"
for worker in 1 2 3; do
    wait "${workers[worker]}"; expect "worker $worker" $? 0
done
wc -l "$scratch"/lines.*
sort -n "$scratch"/lines.* | cmp - <(seq 1000000) || fail "lines lost or doubled"
nothing_left lines

echo "--- a reader that leaves"
seq 1000000 | ringway send x --lines 2> "$scratch/sender" & sender=$!
"$binary" recv x | head -n 1 > "$scratch/head"
expect "recv | head" "${PIPESTATUS[*]}" "141 0"
wait $sender; expect "sender" $? 1
expect "first line" "$(cat "$scratch/head")" 1
nothing_left "a reader that left"

echo "--- a queue of a million lines, four workers, two of them killed"
ringway queue create jobs
expect "queue create" $? 0
"$binary" queue get jobs --lines > "$scratch/killed.1" & first=$!
"$binary" queue get jobs --lines > "$scratch/killed.2" & second=$!
rm -f "$scratch/go"
{ seq 300000; until [ -e "$scratch/go" ]; do sleep 0.01; done; seq 300001 1000000; } |
    ringway queue put jobs --lines --close & putter=$!
await at_least jobs sent 100000
slay worker $first
await at_least jobs sent 200000
slay worker $second
touch "$scratch/go"
for worker in 1 2; do
    ringway queue get jobs --lines > "$scratch/jobs.$worker" & workers[worker]=$!
done
wait $putter; expect "queue put" $? 0
for worker in 1 2; do
    wait "${workers[worker]}"; expect "worker $worker" $? 0
done
wc -l "$scratch"/killed.* "$scratch"/jobs.*
# A write may have been cut off in the middle of a line, which came again then.
for cut in "$scratch"/killed.*; do
    [ -z "$(tail -c 1 "$cut")" ] || sed -i '$d' "$cut"
done
# Each worker may have been killed between writing and acknowledging: those lines come twice, none is missing.
sort -n "$scratch"/killed.* "$scratch"/jobs.* > "$scratch/all"
uniq "$scratch/all" | cmp - <(seq 1000000) || fail "lines lost"
twice=$(uniq -d "$scratch/all" | wc -l)
[ "$twice" -le 256 ] || fail "$twice lines came twice"
ringway queue put jobs <<< late 2> "$scratch/late"; expect "put into a closed queue" $? 1
grep -q "the queue is closed" "$scratch/late" || fail "not told"
ringway rm jobs

echo "--- a command for each message, its worker killed"
ringway queue create jobs
"$binary" queue get jobs --exec sh -c "touch $scratch/begun; exec sleep 1000" & first=$!
ringway queue put jobs --close <<< precious
await test -e "$scratch/begun"
ringway queue stat jobs | grep -E "^in hand +process [0-9]+ works on 1$" > /dev/null || fail "stat does not show the task"
slay worker $first
expect "the next worker" "$(ringway queue get jobs --exec sh -c 'read -r it; echo "$it $RINGWAY_DELIVERIES"')" "precious 1"
ringway rm jobs

echo "--- a queue that counts, its worker killed"
ringway queue create jobs --tally
rm "$scratch/begun"
"$binary" queue get jobs --exec sh -c "touch $scratch/begun; exec sleep 1000" & first=$!
ringway queue put jobs --lines --close <<< $'lost\nkept'
await test -e "$scratch/begun"
slay worker $first
expect "the next worker" "$(ringway queue get jobs --lines)" kept
expect "messages that nobody has done" "$(figure jobs unfinished)" 1
ringway queue create jobs 2> /dev/null; expect "queue create, once more" $? 1
ringway rm jobs
nothing_left queues

echo "--- three shells count under a lock, one of them is killed holding it"
echo 0 > "$scratch/number"
# Between the two writes the number is lost: whoever gets the lock from a dead one brings it back.
# shellcheck disable=SC2016
begin='read -r n < "$0" && cp "$0" "$0.old" && : > "$0"'
# shellcheck disable=SC2016
increment="$begin"' && echo $((n + 1)) > "$0"'
repair="cp $scratch/number.old $scratch/number && echo repaired"
count() {
    local i
    for ((i = 0; i < $1; i++)); do
        ringway lock counter --on-recovery "$repair" -- sh -c "$increment" "$scratch/number" || return 1
    done
}
rm -f "$scratch/begun"
count 100 > "$scratch/counted.1" 2>&1 & first=$!
count 100 > "$scratch/counted.2" 2>&1 & second=$!
{ count 50 && exec "$binary" lock counter -- sh -c "$begin && touch $scratch/begun && exec sleep 1000" "$scratch/number"; } &
third=$!
await test -e "$scratch/begun"
ringway stat counter
ringway stat counter | grep -E "^held by +process $third" > /dev/null || fail "stat does not show the holder"
ringway ls | grep -E "^counter +mutex .* held by $third$" > /dev/null || fail "ls does not show the holder"
[ -s "$scratch/number" ] && fail "the number is still there"
slay holder $third
wait $first; expect "first shell" $? 0
wait $second; expect "second shell" $? 0
cat "$scratch"/counted.*
expect "number" "$(cat "$scratch/number")" 250
expect "repairs" "$(cat "$scratch"/counted.* | grep -c '^repaired$')" 1
expect "told" "$(cat "$scratch"/counted.* | grep -c "the last holder, process $third (sh -c .*), died with it")" 1
expect "recoveries" "$(figure counter recoveries)" 1
ringway lock -n -E 7 counter -- "$binary" lock -n -E 8 counter -- true 2> /dev/null; expect "conflict" $? 8
expect clean "$(ringway clean)" counter

echo "--- two at once, and an event"
event() { ringway event "$@" go; }
event wait --create & first=$!
await is_there go
hold() { exec "$binary" sem run two --permits 2 -- sh -c 'echo; exec sleep 1000'; }
hold > "$scratch/hold.1" & second=$!
hold > "$scratch/hold.2" & third=$!
await test -s "$scratch/hold.1"
await test -s "$scratch/hold.2"
ringway sem run -n two -- true 2> /dev/null; expect "a third" $? 1
slay holder $second
expect "instead" "$(ringway sem run two -- sh -c 'echo $RINGWAY_RECOVERED' 2> /dev/null)" 1
kill -TERM $third
wait $third; expect "ended by a signal" $? 143
event is-set; expect "not yet" $? 1
event set; expect "set" $? 0
wait $first; expect "waited" $? 0
event is-set; expect "now" $? 0
expect clean "$(ringway clean)" two
ringway rm go
nothing_left locks

echo "--- ls, stat, rm, clean"
"$binary" recv waiting & waiting=$!
"$binary" send crashed < <(head -c 700000 /dev/zero) & crashed=$!
await at_least crashed held_bytes 700000
slay sender $crashed
await is_there waiting
ringway ls; expect ls $? 0
ringway ls | grep -E '^crashed +simplex pipe .*unused$' > /dev/null || fail "ls does not show what is unused"
ringway stat crashed; expect stat $? 0
expect clean "$(ringway clean)" crashed
ringway rm waiting; expect rm $? 0
wait $waiting; expect "receiver whose name was removed" $? 1
ringway rm waiting 2> /dev/null; expect "rm of what is not there" $? 1
ringway stat a/b 2> /dev/null; expect "a bad name" $? 2
ringway recv 2> /dev/null; expect "no name" $? 2
nothing_left everything
rm -rf "$scratch"
echo "shell: $checks checks passed"
