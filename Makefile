# Tables from manifests: `make table2` builds the program, draws the phantom data set if it is
# missing, runs what has not been run yet and prints the table.

PROFILE ?= phantom
DATASET ?= data/phantom
RESULTS ?= results
# More for the program, for example ARGS='--set finetune.steps=80 --jobs 1'
ARGS    ?=

EXPERTGRID := target/release/expertgrid
RUN = $(EXPERTGRID) run --profile $(PROFILE) --dataset $(DATASET) --results $(RESULTS) $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help build phantom figure1 table1 table2 table3 tables noise methods fusion recipe scenarios parts selection smoke test test-page pictures test-checked test-asan fuzz torture test-slurm test-device kernels check bench bench-costs bench-peers

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z0-9 -]+:.*## / { printf "  %-24s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  variables: PROFILE=$(PROFILE) DATASET=$(DATASET) RESULTS=$(RESULTS) ARGS=$(ARGS)"

build: ## build the program
	cargo build --release --locked

phantom: build ## draw the synthetic data set, if it is missing
	@test -d data/phantom || $(EXPERTGRID) data phantom --out data/phantom

figure1: phantom ## draw one case of the synthetic data set with all experts' contours: results/figure1.svg
	@rm -f target/figure1.svg
	@$(EXPERTGRID) data show data/phantom -o target/figure1.svg
	@mv target/figure1.svg results/figure1.svg

# Another data set is the user's: it is there or the program says what to do.
ifeq ($(DATASET),data/phantom)
ready: phantom
else
ready: build
endif
.PHONY: ready

table1 table2 table3: ready ## Table I, II or III of the paper
	@$(RUN) experiments/$@.toml

tables: ready ## the three tables in one plan, sharing their trainings
	@$(RUN) experiments/table1.toml experiments/table2.toml experiments/table3.toml

noise: ready ## how much networks differ by the chance of their pretraining
	@$(RUN) experiments/noise.toml

methods: ready ## every way of learning from several experts, side by side
	@$(RUN) experiments/methods.toml

fusion: ready ## several experts' masks as one: majority, STAPLE, one branch for all, against a branch for each
	@$(RUN) experiments/fusion.toml

recipe: ready ## adapted with ten samples against 34 samples alone
	@$(RUN) experiments/recipe.toml

scenarios: ready ## the original method against the customised one, factor by factor, by experts, at equal work; a cohort
	@$(RUN) experiments/scenarios-factors.toml experiments/scenarios-experts.toml experiments/scenarios-budget.toml \
		experiments/cohort.toml

parts: ready ## norms or a head of one's own, all else frozen
	@$(RUN) experiments/parts.toml

selection: ready ## every combination of annotators, and rules that choose among them
	@$(RUN) experiments/selection.toml

smoke: ready ## a few runs of every table, to see that everything works
	@$(EXPERTGRID) run --profile smoke --dataset $(DATASET) --results $(RESULTS) $(ARGS) \
		experiments/table1.toml experiments/table2.toml experiments/table3.toml

test: ## run the tests
	cargo test --release --locked

test-page: ## look at the pages under RESULTS in headless Chromium (installs it where it can)
	EXPERTGRID_INSTALL=1 tests/page/check.sh $(RESULTS)

pictures: ## photograph the pages under RESULTS into target/page-shots, and the README's pictures anew
	EXPERTGRID_INSTALL=1 tests/page/check.sh $(RESULTS) target/page-shots
	cp target/page-shots/table2-phantom-index-html-plot.png results/table2/phantom/plot.png
	cp target/page-shots/table2-phantom-index-html-picture.png results/table2/phantom/picture.png

KERNELS = engine::lanes:: engine::operations:: engine::gradients:: train::course::threads

test-checked: ## the kernels' tests with overflow and bounds checks (a build of its own)
	cargo test --locked --test suite -- $(KERNELS)

test-asan: ## the kernels' tests under AddressSanitizer (the compiler's own, not stable yet; a build of its own)
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=target/asan \
		cargo test --release --locked --target x86_64-unknown-linux-gnu --test suite -- $(KERNELS)

# Overflow is checked in this crate only, so that no dependency is built again.
fuzz: ## a million inputs for each parser of foreign bytes (EXPERTGRID_FUZZ_INPUTS for other counts)
	EXPERTGRID_FUZZ_INPUTS=$${EXPERTGRID_FUZZ_INPUTS:-1000000} cargo test --release --locked --test fuzz \
		--config profile.release.package.expertgrid.overflow-checks=true -- --nocapture

KILLS ?= 200
torture: ## kill a sweep 200 times (KILLS=), let every step of publication fail in every way; SEED= repeats one's choices
	EXPERTGRID_TORTURE_KILLS=$(KILLS) $(if $(SEED),EXPERTGRID_TORTURE_SEED=$(SEED)) \
		cargo test --release --locked --test suite -- store::torture:: store::publication:: store::disks:: --nocapture

test-device: build ## the engine of cards on a real one (needs an NVIDIA GPU; with PyTorch beside it where that is installed)
	tests/device/check.sh $(EXPERTGRID)

kernels: ## compile the kernels of cards, with NVRTC from a wheel (needs pip, no GPU)
	python3 src/engine/cuda/kernels/build.py

test-slurm: build ## sweeps on a real Slurm of four nodes on this machine (Debian, as root; installs it)
	EXPERTGRID_INSTALL=1 python3 tests/slurm/check.py $(EXPERTGRID)

check: ## everything that is checked: format, lints, documentation, tests
	cargo fmt --check
	cargo clippy --release --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps --locked
	cargo test --release --locked

bench: build ## time a training step, the kernels, planning, the metrics, the store and the cost of running on this machine
	@mkdir -p results/bench
	@{ grep -m 1 'model name' /proc/cpuinfo || uname -mp; $(EXPERTGRID) bench; cargo bench --locked 2>/dev/null; } \
		| tee results/bench/benches.txt

bench-costs: ## the cost of running alone: stages that compute nothing, nothing to do, a million runs planned, status
	@mkdir -p results/bench
	@{ grep -m 1 'model name' /proc/cpuinfo || uname -mp; echo "load before: $$(uptime)"; \
		cargo bench --locked --bench costs 2>/dev/null; } | tee results/bench/costs.txt

bench-peers: build ## a training step and the distances, against PyTorch and MedPy (installs them under target/)
	python3 benches/peers.py
