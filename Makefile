# make tour    real mail, logged off in each way   make bench     every speed the README speaks of, side by side
# make test    everything CI does                  make diagrams  draw the gallery again
# make quick   what starts no process, in a minute make readme, make examples   update what they show
# make soak    200 rounds of kill -9, disasters    make mutants  would a broken table be seen?
# make docs    the documentation as a site         make dist     wheel and sdist, examined and tried
#
# Each makes and reuses .venv (`make tour` .venv-tour, with nothing but what it needs), and needs nothing but python3 (3.11 or
# later), make and the package index.

# the tests start hundreds of Pythons, each of which would compile every module again
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
BIN := .venv/bin
EXTRAS := test,lint,bench,docs,release
BESIDE := --numprocesses 4 --dist worksteal

.PHONY: tour docs dist test quick lint types tests soak mutants versions bench diagrams readme examples lock clean

tour: .venv-tour/ready
	@.venv-tour/bin/fsm tour

test: .venv/ready
	@.ci/system
	@.ci/interpreters
	@$(MAKE) --no-print-directory lint
	@.ci/beside "$(MAKE) --no-print-directory types" ".ci/versions newest" "$(MAKE) --no-print-directory tests"
	@.ci/skipped

quick: .venv/ready  # for every few minutes; a test ends when it would start a process or a server, and counts as skipped
	@$(MAKE) --no-print-directory lint
	$(BIN)/pytest $(BESIDE) --quick -rN

lint: .venv/ready
	$(BIN)/ruff check

types: .venv/ready
	$(BIN)/mypy
	$(BIN)/python -m tests.typed_examples

tests: .venv/ready
	$(BIN)/pytest $(BESIDE)

docs: .venv/ready  # tests/docs/test_site.py builds it in `make test`
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

dist: .venv/ready  # tests/test_dist.py does it in `make test`
	$(BIN)/python -m tests.dist

soak: .venv/ready  # other seeds each time; FSM_SEED=n begins at a seed
	FSM_SOAK=$${FSM_SOAK:-200} $(BIN)/pytest $(BESIDE) tests/crash tests/solver tests/migration tests/testing tests/journal tests/stepper tests/contrib/test_embedding.py
	$(BIN)/python -m tests.crash.disasters

mutants: .venv/ready  # each small fault of the table, against the cells with which every export is compared
	$(BIN)/python -m tests.export.mutants

versions: .venv/ready  # the other Pythons this machine has
	@.ci/versions

bench: .venv/ready
	@.ci/interpreters
	$(BIN)/python -m bench.run

diagrams: .venv/ready
	$(BIN)/python -m fsm.logoff.gallery
	$(BIN)/fsm explore --bound 'inbound <= 2' --bound 'outbound + ready + deferred <= 2' --bound 'peers <= 1' --renderer embedded -o diagrams/explorer.html
	$(BIN)/python -m tests.browser.screenshot
	$(BIN)/python -m tests.mail.test_charts
	$(BIN)/python -m tests.store.test_life

readme: .venv/ready  # `python -m tests.readme tour` runs the tour anew, too
	$(BIN)/python -m tests.readme
	$(BIN)/python -m tests.docs.pictures
	$(BIN)/python -m tests.docs.notebooks

examples: .venv/ready
	$(BIN)/python -m tests.test_examples
	$(BIN)/python -m tests.examples.test_charts
	$(BIN)/python -m tests.contrib.test_embedding

lock:  # after a change of setup.cfg: the versions CI installs, for each Python and platform; UPGRADE=--upgrade takes the newest
	@test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; }
	echo uv | $(BIN)/uv pip compile --universal --python-version 3.11.0 --all-extras --no-annotate --quiet $(UPGRADE) \
		--custom-compile-command "make lock" --output-file constraints.txt setup.cfg -

define begin
@$(PYTHON) -c 'import sys; sys.exit("python 3.11 or later is needed, not %d.%d; name one with: make PYTHON=python3.12" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
@echo "installing into $(@D) ..."
endef

.venv/ready: setup.cfg pyproject.toml constraints.txt
	$(begin)
	@.ci/install $(@D) $(PYTHON) $(EXTRAS)

.venv-tour/ready: setup.cfg pyproject.toml constraints.txt
	$(begin)
	@test -x $(@D)/bin/pip || $(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[mail,svg]'
	@touch $@

clean:
	rm -rf .venv .venv-* docs/_build build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
