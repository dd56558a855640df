# Writing PyTorch's files with what every Debian has: a zip archive, stored, of a pickled state dict
# and one storage that holds the data of a safetensors file as it is. Needs safetensors.bash.

# A number as so many bytes, in printf's notation.
little_endian() {
    local i
    bytes=
    for ((i = 0; i < $2; i++)); do
        printf -v bytes '%s\\x%02x' "$bytes" $(($1 >> 8 * i & 255))
    done
}
emit() { little_endian "$1" "$2" && printf "$bytes"; }

pickled_text() { printf X && emit ${#1} 4 && printf %s "$1"; }

# A tuple of numbers.
pickled_tuple() {
    local number
    printf '('
    for number; do printf J && emit "$number" 4; done
    printf t
}

# The pickle of a bfloat16 file of weights: NAME SHAPE BEGIN on each line, elements in all.
pickle() {
    local name shape begin
    printf '\x80\x02}('
    while read -r name shape begin; do
        shape=(${shape//,/ })
        pickled_text "$name"
        printf 'ctorch._utils\n_rebuild_tensor_v2\n(('
        pickled_text storage
        printf 'ctorch\nBFloat16Storage\n'
        pickled_text 0
        pickled_text cpu
        printf J && emit "$1" 4
        printf 'tQJ' && emit $((begin / 2)) 4
        pickled_tuple "${shape[@]}"
        # matrices and vectors
        if [ ${#shape[@]} = 2 ]; then pickled_tuple "${shape[1]}" 1; else pickled_tuple 1; fi
        printf '\x89ccollections\nOrderedDict\n)RtR'
    done
    printf u.
}

# local_header NAME SIZE; central_header NAME SIZE OFFSET
local_header() {
    printf 'PK\x03\x04' && emit 0 14 && emit "$2" 4 && emit "$2" 4 && emit ${#1} 2 && emit 0 2
    printf %s "$1"
}
central_header() {
    printf 'PK\x01\x02' && emit 0 16 && emit "$2" 4 && emit "$2" 4 && emit ${#1} 2 && emit 0 12
    emit "$3" 4
    printf %s "$1"
}

# torch_zip PICKLE DATA: the archive; folder and names as torch.save gives them.
torch_zip() {
    local program data second directory
    program=$(stat -c %s "$1") data=$(stat -c %s "$2")
    second=$((30 + 14 + program)) directory=$((30 + 14 + program + 30 + 12 + data))
    local_header model/data.pkl "$program" && cat "$1"
    local_header model/data/0 "$data" && cat "$2"
    central_header model/data.pkl "$program" 0
    central_header model/data/0 "$data" "$second"
    printf 'PK\x05\x06' && emit 0 4 && emit 2 2 && emit 2 2
    emit $((46 + 14 + 46 + 12)) 4 && emit "$directory" 4 && emit 0 2
}

# to_torch FROM.safetensors TO.bin, leaving pickle and data beside it.
to_torch() {
    tail -c +$((9 + $(header_length "$1"))) "$1" >"$2.data"
    header "$1" | grep -oE '"[^"]+":\{"dtype":"BF16"[^}]*\}' | sed -E \
        's/"([^"]+)".*"shape":\[([0-9,]+)\].*"data_offsets":\[([0-9]+),.*/\1 \2 \3/' |
        pickle $(($(stat -c %s "$2.data") / 2)) >"$2.pickle"
    torch_zip "$2.pickle" "$2.data" >"$2"
}
