#!/bin/bash
# The Containerfile names packages, targets and files that are there: what can be told without a program that
# builds images.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"

file=$project/.ci/Containerfile
# Instructions, each on one line, without comments.
sed -e '/^#/d' -e '/^$/d' -e ':a' -e '/\\$/{N;s/ *\\\n */ /;ba' -e '}' "$file" >instructions

known() {
    local word
    for word in $(cut -d' ' -f1 instructions | sort -u); do
        case $word in
        FROM | ENV | RUN | COPY | WORKDIR | ENTRYPOINT | CMD) ;;
        *) problem "expected an instruction, found $word" ;;
        esac
    done
    head -n 1 instructions | grep -q '^FROM ' || problem "expected FROM first"
    [ "$(sed -n 's/^FROM \(debian:[a-z]*-slim\)\( AS build\)\{0,1\}$/\1/p' instructions | sort | uniq -c | tr -s ' ')" = \
        ' 2 debian:bookworm-slim' ] || problem "expected two parts of one release of Debian"
    python3 - instructions <<'EOS' || problem "ENTRYPOINT and CMD are lists of words"
import json, sys
for line in open(sys.argv[1]):
    word, _, rest = line.partition(" ")
    if word in ("ENTRYPOINT", "CMD"):
        assert all(isinstance(item, str) for item in json.loads(rest))
EOS
}
check "its instructions are those of a Containerfile" known

# Packages that the Makefile has, or that are installed where this runs.
packages() {
    local found=0 package listed
    listed=$(sed -n '/^PACKAGES := /,/[^\\]$/p' "$project/Makefile" | tr -d '\\')
    for package in $(grep -o 'apt-get install -y --no-install-recommends [^&]*' instructions | cut -d' ' -f5-); do
        found=$((found + 1))
        [ "$package" = '/tmp/bitsweep_*.deb' ] && continue
        [[ " $(echo $listed) " = *" $package "* ]] || dpkg-query -W "$package" >/dev/null 2>&1 ||
            problem "no package is called $package"
    done
    [ "$found" -ge 4 ] || problem "expected packages, found $found"
}
check "its packages are Debian's" packages

targets() {
    local target
    for target in $(grep -o 'make [^&]*' instructions | grep -v 'git' | tr ' ' '\n' | grep '^[a-z]*$' | grep -v '^make$'); do
        grep -q "^$target:" "$project/Makefile" || problem "make has no target $target"
    done
    grep -q '^COPY --from=build /bitsweep/build/bitsweep_\*\.deb ' instructions || problem "expected the package to be copied"
    grep -qF 'build/bitsweep_${VERSION}_$architecture.deb' "$project/.ci/deb" || problem "make deb makes another file"
}
check "its targets are the Makefile's, and the package is where make deb puts it" targets

# Nothing that the build needs is kept from it.
context() {
    local pattern
    [ -d "$project/.git" ] || [ -f "$project/.git" ] || return 0
    grep -qx build "$project/.containerignore" || problem "expected build to be left out"
    [ -z "$(git -C "$project" ls-files build)" ] || problem "build is part of the sources"
    [ "$(git -C "$project" ls-files results | grep -cv '^results/\(README.md\|example/\)')" = 0 ] ||
        problem "results has sources that the build does not get"
}
check "what is left out is no source" context

finish
