# A hub on loopback (tests/server/hub_server.c), the models it has, and caches to fetch them into.
server=$(dirname "$program")/tests/server/hub_server
[ -x "$server" ] || { echo "no server '$server': make tests" >&2; exit 1; }

# Nothing of the user's may decide, and nothing may leave the machine.
unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE XDG_CACHE_HOME HF_TOKEN HF_TOKEN_PATH HF_HUB_OFFLINE \
    TRANSFORMERS_OFFLINE CURL_CA_BUNDLE SSL_CERT_FILE http_proxy https_proxy HTTPS_PROXY all_proxy \
    ALL_PROXY
export HF_HOME=$work/home no_proxy='*'

first=1111111111111111111111111111111111111111
second=2222222222222222222222222222222222222222
hub_pid=

stop_hub() {
    [ -z "$hub_pid" ] || { kill "$hub_pid" && wait "$hub_pid"; } 2>/dev/null
    hub_pid=
}

# start_hub FAULT...: a new hub with an empty log, and an empty cache.
start_hub() {
    rm -rf "$HF_HOME"
    restart_hub "$@"
}
# The same, with the cache as it is.
restart_hub() {
    stop_hub
    : >ports
    : >log
    "$server" "$work/root" "$work/log" "$@" >ports &
    hub_pid=$!
    until [ -s ports ]; do sleep 0.01; done
    read -r hub_port store_port <ports
    export HF_ENDPOINT=http://127.0.0.1:$hub_port
}

# publish models/org/name COMMIT: the folder for that commit's files, which main names from now on.
publish() {
    mkdir -p "root/$1/refs" "root/$1/commits/$2"
    echo "$2" >"root/$1/refs/main"
    commit_folder=root/$1/commits/$2
}

cache_of() { echo "$HF_HOME/hub/${1//\//--}"; }

# The checksum that names a blob: sha256 of a large file, git's of a small one.
sha256_of() { sha256sum "$1" | cut -d ' ' -f 1; }
git_sha1_of() { { printf 'blob %d\0' "$(stat -c %s "$1")"; cat "$1"; } | sha1sum | cut -d ' ' -f 1; }

# How many lines of the hub's log match.
requests() { grep -cE -e "$1" log; }
expect_requests() {
    local found
    found=$(requests "$2")
    [ "$found" = "$1" ] || problem "expected $1 requests '$2', found $found"
}

# That a repository's snapshot holds exactly what the hub has of it, by name and content.
expect_snapshot() {
    local folder=$1 commit=$2 path cache link
    shift 2
    cache=$(cache_of "$folder")
    [ "$(cd "$cache/snapshots/$commit" && find . -type l | sort | tr '\n' ' ')" = \
        "$(printf './%s\n' "$@" | sort | tr '\n' ' ')" ] || problem "expected the files $*"
    for path; do
        expect_same_bytes "root/$folder/commits/$commit/$path" "$cache/snapshots/$commit/$path"
        link=$(readlink "$cache/snapshots/$commit/$path")
        [[ $link =~ ^(\.\./)+blobs/[0-9a-f]+$ ]] || problem "expected a relative link, found $link"
    done
    if find "$HF_HOME" -name '*.incomplete' -o -name '.ref*' | grep -q .; then
        problem "expected nothing incomplete"
    fi
}
