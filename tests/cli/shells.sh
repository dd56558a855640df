#!/bin/bash
# What shells complete, and the manual: every command and every option, from the same tables as --help.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"

run help
commands=$(sed -n 's/^  \([a-z]\{1,\}\) .*/\1/p' .out)
options_of() { run help "$1"; sed -n 's/^  \(-.,\|   \) --\([a-z-]*\).*/\2/p' .out; }

listed() { [ "$(wc -w <<<"$commands")" -ge 12 ] || problem "expected the commands in help"; }
check "help lists the commands" listed

# ---- completion ----

run completion bash
cp .out completion.bash
. ./completion.bash

# What bash offers for the last of these words: complete bitsweep table --fo
complete_words() {
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    _bitsweep
    printf '%s\n' "${COMPREPLY[@]}"
}

offers() {
    local expected=$1
    shift
    complete_words "$@" | grep -qxF -e "$expected" || problem "'$*' does not offer '$expected'"
}

bash_commands() {
    local command
    for command in $commands; do offers "$command" bitsweep "${command:0:2}"; done
    [ -z "$(complete_words bitsweep xyz)" ] || problem "offers something for xyz"
}
check "bash completes every command" bash_commands

bash_options() {
    local command option
    for command in $commands; do
        for option in $(options_of "$command"); do offers "--$option" bitsweep "$command" -; done
    done
}
check "bash completes every option" bash_options

bash_values() {
    touch 'my sweep.yaml'
    offers markdown bitsweep table a.h5 --format m
    offers portable bitsweep run --numerics p
    offers pareto bitsweep plot a.h5 pa
    offers gptq bitsweep describe gp
    offers fish bitsweep completion f
    offers 'my sweep.yaml' bitsweep run my
    offers 'my sweep.yaml' bitsweep run --output my
}
check "bash completes values, names and files" bash_values

other_shells() {
    local command option
    for shell in zsh fish; do
        run completion "$shell"
        expect_status 0
        for command in $commands; do
            grep -q "\b$command\b" .out || problem "$shell: no $command"
        done
        cp .out completion."$shell"
        for command in $commands; do
            for option in $(options_of "$command"); do
                grep -q -e "--$option\[\|from $command' -l $option " completion."$shell" ||
                    problem "$shell: no --$option of $command"
            done
        done
    done
    run completion tcsh
    expect_status 2
    expect_err 'expected bash, zsh or fish'
}
check "zsh and fish are told every command and option" other_shells

# ---- manual ----

# The page without roff's escapes: "fB--columnsfR fINAMESfR".
page_of() {
    run help --man "$@"
    expect_status 0
    tr -d '\\' <.out
}

manual() {
    local command option
    page_of >overview
    for command in $commands; do
        grep -q "^fB${command}fR" overview || problem "bitsweep(1) lacks $command"
        page_of "$command" >page
        for option in $(options_of "$command"); do
            grep -q -e "fB--${option}fR" page || problem "bitsweep-$command(1) lacks --$option"
        done
    done
}
check "the manual has a page for every command, with every option" manual

# ---- what make install puts there ----

# With the program that is tested, and building nothing.
install_make() {
    make -s -C "$project" -o all "$1" BUILD="$(dirname "$program")" PREFIX=/usr \
        DESTDIR="$PWD/prefix" >make.out 2>&1 || problem "make $1: $(tail -n 3 make.out)"
}

installed() {
    local command
    install_make install
    for command in $commands; do
        [ -s "prefix/usr/share/man/man1/bitsweep-$command.1" ] || problem "no page for $command"
    done
    [ -s prefix/usr/share/bash-completion/completions/bitsweep ] || problem "nothing for bash"
    [ -s prefix/usr/share/bitsweep/plots/style.gp ] || problem "no chart templates"
    prefix/usr/bin/bitsweep --version >.out || problem "the installed program does not run"
    install_make uninstall
    [ -z "$(find prefix -type f)" ] || problem "still there: $(find prefix -type f)"
}
check "make install, make uninstall" installed

finish
