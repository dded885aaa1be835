#!/usr/bin/env bash
# Proves of the compiled code that a message costs no locked instruction, no fence and no system call while nobody
# sleeps: looks at the machine code of examples/push_u64.rs, then counts the system calls of a run.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "asm.sh: $*" >&2; exit 1; }

[[ $(uname -m) == x86_64 ]] || fail "knows x86-64 only"
for tool in objdump nm readelf c++filt strace; do
    command -v "$tool" >/dev/null && continue
    apt-get install -y -qq binutils strace >/dev/null || fail "cannot install $tool"
done

cargo build --quiet --release --example push_u64
binary=${CARGO_TARGET_DIR:-target}/release/examples/push_u64
[[ -x $binary ]] || fail "there is no $binary"

# Calls between crates go through the table of offsets: address of the entry -> address of the function.
relocations=$(readelf -rW "$binary" | awk '$3 == "R_X86_64_RELATIVE" { print $1, $4 }')
symbols=$(nm "$binary") # as the linker knows them
declare -A seen=()

# symbol_at ADDRESS: the function there, or the one that the table entry there leads to.
symbol_at() {
    local entry address
    entry=$(printf '%016x' "0x$1")
    address=$(awk -v at="$entry" '$1 == at { print $2 }' <<<"$relocations")
    address=$(printf '%016x' "0x${address:-$1}")
    awk -v at="$address" '$1 == at && $2 ~ /[tT]/ && !found++ { print $3 }' <<<"$symbols"
}

# check SYMBOL ALLOWED: the function's code is clean, and so is that of all it calls, except for functions that
# are ALLOWED to be anything, because they run in no usual case.
check() {
    local symbol=$1 allowed=$2 name code count bad call address target
    [[ -z ${seen[$symbol]:-} ]] || return 0
    seen[$symbol]=1
    name=$(c++filt "$symbol")
    [[ ! $name =~ $allowed ]] || return 0
    # Read to its end: a reader that leaves early would kill objdump, and with it this script.
    code=$(objdump -d --no-show-raw-insn "$binary" --disassemble="$symbol" |
        awk -v start="<$symbol>:" '$2 == start { on = 1; next } !NF { on = 0 } on && /^ / { print }')
    count=$(grep -c . <<<"$code" || true)
    ((count >= 10)) || fail "$name: not found, or of $count instructions only"
    bad=$(grep -E $'\t(lock|mfence|lfence|sfence|syscall|sysenter|int |cpuid)|\txchg[a-z]* .*\(' <<<"$code" || true)
    [[ -z $bad ]] || fail "$name contains:"$'\n'"$bad"
    while read -r call; do
        address=$(sed -nE 's/.*# ([0-9a-f]+) <.*/\1/p; t; s/.*(call|jmp) +([0-9a-f]+) <.*/\2/p' <<<"$call")
        [[ -n $address ]] || fail "$name calls somebody unknown: $call"
        target=$(symbol_at "$address")
        [[ -n $target ]] || fail "$name calls somebody outside the program: $call"
        check "$target" "$allowed"
    done < <(grep -vF "<$symbol+" <<<"$code" | grep -E $'\t(call|jmp) ' || true)
    echo "$name: $count instructions, none locked, no fence, no system call"
}

cold='full_fence|wake_sleepers|impossible'
check ringway_push_u64 "$cold"
check ringway_pop_u64 "$cold"
check ringway_push_bytes "$cold"
check ringway_peek_bytes "$cold|keep_copy" # the copy is made for peers that are not trusted

# A run of ten million messages makes exactly the system calls of a run of none.
calls() { strace -f -qq -o "$log" "$binary" "$1" >&2 && wc -l <"$log"; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
none=$(calls 0)
many=$(calls 10000000)
((none > 0)) || fail "strace saw nothing"
((many == none)) || fail "ten million messages made $((many - none)) system calls beyond the $none of the start"
echo "ten million messages of each kind: no system call beyond the $none of the start"
