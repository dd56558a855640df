# bitsweep: `make help` lists the targets.
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
SHELL := /bin/sh

VERSION := 0.1.0
COMMIT := $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)

# Debian's names of everything the build, the tests and the charts use.
PACKAGES := gcc make pkg-config libopenblas-openmp-dev liblapacke-dev libhdf5-dev libfyaml-dev \
            libjansson-dev libdnnl-dev libpcre2-dev libutf8proc-dev libxxhash-dev zlib1g-dev \
            libzstd-dev libzip-dev libcurl4-openssl-dev libssl-dev ca-certificates libcmocka-dev \
            gnuplot-nox fonts-dejavu-core
LINT_PACKAGES := clang-format clang-tidy libomp-dev python3
# What the tests use beside: a reader of result files that is not ours, and exact functions.
TEST_PACKAGES := python3-h5py python3-pandas libmpfr-dev
SLURM_PACKAGES := slurmctld slurmd slurm-client munge
FUZZ_PACKAGES := clang libclang-rt-dev libomp-dev
PKGS := openblas lapacke hdf5 libfyaml jansson libpcre2-8 libutf8proc libxxhash zlib libzstd libzip \
        libcurl libcrypto

CC ?= gcc
X86 := $(filter x86_64-%,$(shell $(CC) -dumpmachine))
# The processor that all is compiled for, but the loops of eval/base/isa.h.
ARCH ?= $(if $(X86),x86-64-v2)
PREFIX ?= /usr/local
SANITIZE ?=
ISA ?=
WERROR ?=
FUZZ ?=
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?=
RULES ?=
BENCH ?=

ifeq ($(FUZZ),1) # what `make fuzz` builds
CC := clang
VARIANT := fuzz
EXTRA := -O1 -fsanitize=fuzzer-no-link,address,undefined,float-divide-by-zero,float-cast-overflow \
         -fno-sanitize-recover=all -fno-omit-frame-pointer \
         -Wno-source-uses-openmp -Wno-double-promotion # the latter for NAN, a float to clang
else ifeq ($(SANITIZE),1)
VARIANT := sanitize
EXTRA := -O1 -fsanitize=address,undefined,float-divide-by-zero,float-cast-overflow \
         -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifeq ($(SANITIZE),)
VARIANT := release
EXTRA := -O3
else
$(error SANITIZE is 1 or not set, not '$(SANITIZE)')
endif

# ISA=avx2: run as on a processor with nothing newer than AVX2.
ifeq ($(ISA),avx2)
export BITSWEEP_ISA := v3
export ONEDNN_MAX_CPU_ISA := AVX2
export OPENBLAS_CORETYPE := Haswell
else ifneq ($(ISA),)
$(error ISA is avx2 or not set, not '$(ISA)')
endif

BUILD := build/$(VARIANT)
CFLAGS ?= -g $(if $(ARCH),-march=$(ARCH))
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wdouble-promotion \
            -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings -Wcast-qual \
            -Wundef $(if $(WERROR),-Werror)
# With clang, GCC's OpenMP library, which OpenBLAS uses too: its functions are there, loops run on one thread.
OPENMP := $(if $(FUZZ),-fopenmp=libgomp,-fopenmp)
# Floating point as written: no contraction, no reordering.
ALL_CFLAGS = -std=c11 -D_POSIX_C_SOURCE=200809L -I. $(WARNINGS) $(CFLAGS) $(EXTRA) \
             -ffp-contract=off $(OPENMP) -DBS_VERSION='"$(VERSION)"' \
             $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LIBS = $(shell pkg-config --libs $(PKGS) 2>/dev/null) -ldnnl -lm

LIB_SOURCES := $(sort $(wildcard algorithms/*.c eval/*/*.c eval/*/*/*.c))
# Loops that are compiled once for each level of eval/base/isa.h. Errno and traps, of which nothing
# here knows, would keep the compiler from vectors; values stay as they are.
ISA_SOURCES := $(filter %_isa.c,$(LIB_SOURCES))
ISA_LEVELS := $(if $(X86),0 1 2 3,0)
ISA_FLAGS := -fno-math-errno -fno-trapping-math
ISA_FLAGS_0 := $(if $(X86),-march=x86-64-v2)
ISA_FLAGS_1 := -march=x86-64-v2 -mfma -mprefer-vector-width=128
ISA_FLAGS_2 := -march=x86-64-v3 -mprefer-vector-width=256
ISA_FLAGS_3 := -march=x86-64-v4 -mprefer-vector-width=512
# A sanitizer watches the loops of the levels with vectors of 128 bits, which the tests run too: those
# of the others are of the same sources, and are what all other tests spend their time in.
ifneq ($(SANITIZE)$(FUZZ),)
ISA_FLAGS_2 += -O3 -fno-sanitize=all
ISA_FLAGS_3 += -O3 -fno-sanitize=all
endif
ISA_OBJECTS := $(foreach level,$(ISA_LEVELS),$(ISA_SOURCES:%.c=$(BUILD)/%.$(level).o))
LIB_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(ISA_SOURCES),$(LIB_SOURCES))) $(ISA_OBJECTS)
TEST_SOURCES := $(sort $(wildcard tests/unit/*.c tests/conformance/*.c))
TESTS := $(TEST_SOURCES:%.c=$(BUILD)/%)
SUPPORT_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/support/*.c))
# The hub that the tests of fetching talk to: a program of its own.
SERVER := $(BUILD)/tests/server/hub_server
# The program and the tests of what registries hold once more, with the plug-ins of the tests in them.
REGISTRIES := $(filter %/registry.c,$(LIB_SOURCES))
PLUGIN_SOURCES := $(wildcard tests/plugins/*.c)
PLUGIN_OBJECTS := $(PLUGIN_SOURCES:%.c=$(BUILD)/%.o) $(REGISTRIES:%.c=$(BUILD)/with_plugins/%.o) \
                  $(filter-out $(REGISTRIES:%.c=$(BUILD)/%.o),$(LIB_OBJECTS))
PLUGIN_TESTS := $(patsubst %,$(BUILD)/with_plugins/tests/%,conformance/test_algorithms \
                  conformance/test_formats conformance/test_prepare conformance/test_values \
                  unit/test_calibrate unit/test_kernels)
# Faults that the conformance tests must find: the registry that one is planted in, its name, the test.
FAULTS := algorithms:row_scale:test_algorithms algorithms:four_bits:test_algorithms \
          algorithms:deaf:test_algorithms algorithms:bend:test_prepare \
          eval/quant/formats:short_bits:test_formats
fault = $(word $(2),$(subst :, ,$(1)))
FAULT_PROGRAMS := $(foreach f,$(FAULTS),$(BUILD)/faults/$(call fault,$(f),2))
FUZZ_SOURCES := $(wildcard tests/fuzz/*.c)
# The targets without libFuzzer, for the test that feeds them what was found.
FUZZ_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(filter-out %/libfuzzer.c,$(FUZZ_SOURCES)))
BENCH_SOURCES := $(wildcard tests/bench/*.c)
ALL_SOURCES := $(LIB_SOURCES) eval/main.c $(TEST_SOURCES) $(wildcard tests/support/*.c) \
               tests/server/hub_server.c $(FUZZ_SOURCES) $(BENCH_SOURCES) $(PLUGIN_SOURCES) \
               $(wildcard tests/faults/*.c) tests/golden/round_values.c

# `make V=1` shows whole commands.
V ?= 0
run = @$(if $(filter 1,$(V)),echo '$(2)';,echo '  $(1)';) $(2)

.PHONY: all quickstart check slurm bench fuzz lint docs setup install uninstall deb clean format help
all: $(BUILD)/bitsweep ## build the program

quickstart: setup ## set up, sweep the embedded model, print the table, draw the charts
	@$(MAKE) --no-print-directory -j$$(nproc) all
	$(BUILD)/bitsweep run --memory 330M configs/quickstart.yaml

check: setup ## set up and run every test (SANITIZE=1: under ASan and UBSan; ISA=avx2: those of figures, as without AVX-512)
	@.ci/setup $(TEST_PACKAGES)
	@$(MAKE) --no-print-directory -j$$(nproc) tests
	@BITSWEEP=$(BUILD)/bitsweep SANITIZE=$(SANITIZE) tests/run $(TESTS) $(PLUGIN_TESTS)

slurm: setup ## run a sweep on a Slurm cluster of four nodes, all on this machine (installs Debian's Slurm)
	@.ci/setup $(SLURM_PACKAGES)
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@BITSWEEP=$(BUILD)/bitsweep bash tests/slurm/cluster.sh

setup: ## install what is missing with apt, or say what to run
	@.ci/setup $(PACKAGES)

.PHONY: tests
tests: all $(TESTS) $(PLUGIN_TESTS) $(BUILD)/with_plugins/bitsweep $(FAULT_PROGRAMS) $(SERVER) $(BUILD)/tests/bench/bench

$(BUILD)/bitsweep: $(BUILD)/eval/main.o $(LIB_OBJECTS)
	$(call run,LD $@,$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS))

$(TESTS): $(BUILD)/%: $(BUILD)/%.o $(SUPPORT_OBJECTS) $(LIB_OBJECTS)
	$(call run,LD $@,$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) \
	    $(shell pkg-config --libs cmocka 2>/dev/null))

$(BUILD)/with_plugins/%.o: %.c tests/plugins/lines.h $(BUILD)/flags
	@mkdir -p $(@D)
	$(call run,CC $< with plug-ins,$(CC) $(ALL_CFLAGS) -include tests/plugins/lines.h -MMD -MP -c -o $@ $<)

$(BUILD)/with_plugins/bitsweep: $(BUILD)/eval/main.o $(PLUGIN_OBJECTS)
	@mkdir -p $(@D)
	$(call run,LD $@,$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS))

$(PLUGIN_TESTS): $(BUILD)/with_plugins/%: $(BUILD)/%.o $(SUPPORT_OBJECTS) $(PLUGIN_OBJECTS)
	@mkdir -p $(@D)
	$(call run,LD $@,$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) \
	    $(shell pkg-config --libs cmocka 2>/dev/null))

# A conformance test whose registry has a fault planted in it.
define fault_rules
$(BUILD)/faults/$(2).o: $(1)/registry.c $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(call run,CC $$< with a fault,$(CC) $$(ALL_CFLAGS) \
	    '-DBS_MORE_$(if $(findstring formats,$(1)),FORMATS,ALGORITHMS)(X)=X($(2))' -c -o $$@ $$<)

$(BUILD)/faults/$(2): $(BUILD)/tests/conformance/$(3).o $(BUILD)/tests/faults/$(2).o \
                      $(BUILD)/faults/$(2).o $(SUPPORT_OBJECTS) \
                      $(filter-out $(BUILD)/$(1)/registry.o,$(LIB_OBJECTS))
	$$(call run,LD $$@,$(CC) $$(ALL_CFLAGS) $(LDFLAGS) -o $$@ $$^ $$(LIBS) \
	    $$(shell pkg-config --libs cmocka 2>/dev/null))
endef
$(foreach f,$(FAULTS),$(eval $(call fault_rules,$(call fault,$(f),1),$(call fault,$(f),2),$(call fault,$(f),3))))

$(SERVER): $(SERVER).o
	$(call run,LD $@,$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS))

$(BUILD)/tests/unit/test_fuzz: $(FUZZ_OBJECTS)
$(BUILD)/tests/unit/test_elementary: LIBS += -lmpfr

fuzz: ## fuzz every input file FUZZ_SECONDS each (FUZZ_TARGETS="NAME ...": only those)
	@.ci/setup $(PACKAGES) $(FUZZ_PACKAGES)
	@$(MAKE) --no-print-directory -j$$(nproc) FUZZ=1 build/fuzz/bitsweep-fuzz
	@tests/fuzz/run build/fuzz/bitsweep-fuzz $(FUZZ_SECONDS) $(FUZZ_TARGETS)

build/fuzz/bitsweep-fuzz: $(FUZZ_SOURCES:%.c=$(BUILD)/%.o) $(BUILD)/tests/support/tables.o $(LIB_OBJECTS)
	$(call run,LD $@,$(CC) $(ALL_CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS))

bench: setup ## measure speed and memory on models of real shapes (BENCH="--help": what can be chosen)
	@$(MAKE) --no-print-directory -j$$(nproc) $(BUILD)/tests/bench/bench
	@$(BUILD)/tests/bench/bench $(BENCH)

$(BUILD)/tests/bench/bench: $(BENCH_SOURCES:%.c=$(BUILD)/%.o) $(SUPPORT_OBJECTS) $(LIB_OBJECTS)
	$(call run,LD $@,$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) \
	    $(shell pkg-config --libs cmocka 2>/dev/null))

# What tests/golden/report.py rounds by.
$(BUILD)/tests/golden/round_values: $(BUILD)/tests/golden/round_values.o $(LIB_OBJECTS)
	$(call run,LD $@,$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS))

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call run,CC $<,$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<)

define isa_rule
$(BUILD)/%_isa.$(1).o: %_isa.c $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(call run,CC $$< for level $(1),$(CC) $$(ALL_CFLAGS) $(ISA_FLAGS) $(ISA_FLAGS_$(1)) \
	    -DBS_ISA=$(1) -MMD -MP -c -o $$@ $$<)
endef
$(foreach level,$(ISA_LEVELS),$(eval $(call isa_rule,$(level))))

# The commit is known to few objects only, so that a commit does not rebuild the rest.
COMMIT_OBJECTS := $(addprefix $(BUILD)/,eval/main.o eval/store/results.o tests/bench/report.o)
$(COMMIT_OBJECTS): private EXTRA += -DBS_COMMIT='"$(COMMIT)"'
$(COMMIT_OBJECTS): $(BUILD)/commit

$(BUILD)/commit: FORCE
	@mkdir -p $(@D)
	@echo '$(COMMIT)' | cmp -s - $@ || echo '$(COMMIT)' > $@

# Rebuild when compiler or flags change.
$(BUILD)/flags: FORCE
	@pkg-config --exists $(PKGS) || { echo "packages are missing: make setup" >&2; exit 1; }
	@mkdir -p $(@D)
	@printf '%s\n' "$$($(CC) --version | head -n 1) $(subst ",\",$(ALL_CFLAGS)) $(ISA_FLAGS) \
	    $(foreach level,$(ISA_LEVELS),$(ISA_FLAGS_$(level)))" > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

.PHONY: FORCE
FORCE:

# The program, its chart templates, its manual and what shells complete; everything below is undone by
# `make uninstall`.
SHARE = $(DESTDIR)$(PREFIX)/share
COMPLETIONS = $(SHARE)/bash-completion/completions/bitsweep $(SHARE)/zsh/site-functions/_bitsweep \
              $(SHARE)/fish/vendor_completions.d/bitsweep.fish
COMMANDS = $(shell $(BUILD)/bitsweep help | sed -n 's/^  \([a-z]\{1,\}\) .*/\1/p')

install: all ## install the program, its manual and completions under PREFIX
	install -D $(BUILD)/bitsweep $(DESTDIR)$(PREFIX)/bin/bitsweep
	install -d $(SHARE)/bitsweep/plots $(SHARE)/man/man1 $(dir $(COMPLETIONS))
	install -m 644 plots/*.gp plots/report.css plots/report.js $(SHARE)/bitsweep/plots
	install -m 644 configs/template.yaml $(SHARE)/bitsweep
	$(BUILD)/bitsweep help --man >$(SHARE)/man/man1/bitsweep.1
	test -n "$(COMMANDS)"
	for c in $(COMMANDS); do $(BUILD)/bitsweep help --man $$c >$(SHARE)/man/man1/bitsweep-$$c.1 || exit 1; done
	$(BUILD)/bitsweep completion bash >$(word 1,$(COMPLETIONS))
	$(BUILD)/bitsweep completion zsh >$(word 2,$(COMPLETIONS))
	$(BUILD)/bitsweep completion fish >$(word 3,$(COMPLETIONS))

uninstall: ## remove what install put under PREFIX
	rm -f $(DESTDIR)$(PREFIX)/bin/bitsweep $(SHARE)/man/man1/bitsweep.1 $(SHARE)/man/man1/bitsweep-*.1 \
	    $(COMPLETIONS)
	rm -rf $(SHARE)/bitsweep

deb: all ## make a Debian package of what install installs: build/bitsweep_VERSION_ARCH.deb
	@.ci/setup dpkg-dev binutils
	@MAKE="$(MAKE) -o all BUILD=$(BUILD)" VERSION=$(VERSION) .ci/deb

# What clang-tidy compiles with.
LINT_CFLAGS = -DBS_ISA=0 -std=c11 -D_POSIX_C_SOURCE=200809L -I. -DBS_VERSION='"$(VERSION)"' \
              -DBS_COMMIT='"$(COMMIT)"' $(shell pkg-config --cflags $(PKGS) 2>/dev/null)

lint: setup ## check sources and documents by the project's rules (RULES="NAME ...": only those)
	@.ci/setup $(LINT_PACKAGES)
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@LINT_CFLAGS="$(subst ",\",$(LINT_CFLAGS))" tests/lint/lint.py $(BUILD)/bitsweep $(RULES)

docs: setup ## make the generated parts of the documents anew
	@.ci/setup $(LINT_PACKAGES)
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@tests/lint/lint.py --docs $(BUILD)/bitsweep

clean: ## remove what was built
	rm -rf build

format: ## clang-format every source
	clang-format -i $(ALL_SOURCES) $(shell find algorithms eval tests -name '*.h')

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-11s%s\n", $$1, $$2 }' Makefile

-include $(ALL_SOURCES:%.c=$(BUILD)/%.d) $(ISA_OBJECTS:.o=.d) $(REGISTRIES:%.c=$(BUILD)/with_plugins/%.d)
