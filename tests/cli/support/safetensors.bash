# Reading and damaging safetensors files with what every Debian has. A file is eight bytes with the
# length of its JSON header (little-endian), the header, and the tensors' data.

header_length() { od -An -tu8 -N8 "$1" | tr -d ' '; }

# The JSON header, one line.
header() { tail -c +9 "$1" | head -c "$(header_length "$1")"; }

# A number as eight bytes.
eight_bytes() {
    local i value=$1
    for i in 1 2 3 4 5 6 7 8; do
        printf "\\x$(printf %x $((value & 255)))"
        value=$((value >> 8 & 0xffffffffffffff))
    done
}

# Overwrites bytes (in printf's notation) at an offset.
poke() { printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

# Replaces the header by a text, and its length with it.
set_header() {
    tail -c +$((9 + $(header_length "$1"))) "$1" >"$1.data"
    { eight_bytes ${#2}; printf %s "$2"; cat "$1.data"; } >"$1"
    rm "$1.data"
}

# Puts the header through a sed script, which must change it.
edit_header() {
    local old new
    old=$(header "$1")
    new=$(sed -E "$2" <<<"$old")
    [ "$old" != "$new" ] || problem "expected the header to change: $2"
    set_header "$1" "$new"
}

# The offsets at which a tensor begins and ends, from the file's start.
tensor_place() {
    local begin end
    read -r begin end < <(header "$1" |
        sed -E "s/.*\"${2//./\\.}\":\{[^}]*\"data_offsets\":\[([0-9]+),([0-9]+)\].*/\1 \2/")
    echo $((8 + $(header_length "$1") + begin)) $((8 + $(header_length "$1") + end))
}
tensor_begin() { local place; place=$(tensor_place "$@") && echo "${place% *}"; }
tensor_end() { local place; place=$(tensor_place "$@") && echo "${place#* }"; }
