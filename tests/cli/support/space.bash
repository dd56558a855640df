# A name space of its own, in which this script may mount; empty where the system forbids it.
own_space=
for try in "unshare -m" "unshare -rm"; do
    mkdir -p try
    if $try mount -t tmpfs tmpfs try 2>/dev/null; then
        own_space=$try
        break
    fi
done
export program patience # for what runs in it
