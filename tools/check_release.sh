#!/usr/bin/env bash
# Whether the package can be released: builds the source archive and the wheel, checks both and their metadata, and runs
# a part of the tests of the archive with the wheel installed, on each Python that is there. .ci/run calls this script.
#
#   tools/check_release.sh                      builds in a temporary folder
#   tools/check_release.sh --publish v1.2.3     builds in dist/, and asks for all that a release with this tag needs
#   RELEASE_PYTHONS="3.11 3.15" tools/check_release.sh    the Pythons for the tests; those that are not there are named
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
pythons=${RELEASE_PYTHONS:-3.11 3.12 3.13 3.14 3.15}

step() { printf '\n--- %s\n' "$*"; }
fail() { printf 'check_release.sh: %s\n' "$*" >&2; exit 1; }

# find_python VERSION: print the program of that Python, on the path or of pyenv. Nothing if there is none.
find_python() {
    local candidate
    for candidate in "python$1" python3 "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1."*/bin/python; do
        if "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
}

tag=
case ${1:-} in
'') ;;
--publish) tag=${2:?the tag is missing} ;;
*) fail "no such option: $1" ;;
esac

version=$(python3 -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dist=$work/dist

if [ -n "$tag" ]; then
    step "what a release needs"
    [ "$tag" = "v$version" ] || fail "the tag is $tag, and the version is $version"
    ! grep -n 'OWNER' pyproject.toml || fail "pyproject.toml has no real addresses yet"
    grep -q "^## $version" CHANGELOG.md || fail "CHANGELOG.md has no part for $version: run towncrier build"
    [ -z "$(find changelog.d -name '+*')" ] || fail "changelog.d has lines that are not in CHANGELOG.md"
    dist=$root/dist
    [ ! -e "$dist" ] || fail "there is a folder dist already"
fi

step "the tools"
python3 -m venv "$work/tools"
"$work/tools/bin/pip" install -q '.[release]'
tool() { local name=$1; shift; "$work/tools/bin/$name" "$@"; }

step "build, and check what was built"
tool python -m build --no-isolation --outdir "$dist" . >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
wheel=$(echo "$dist"/*.whl) sdist=$(echo "$dist"/*.tar.gz)
tool twine check --strict "$wheel" "$sdist"
tool check-wheel-contents "$wheel"
is_checkout=$(git ls-files >/dev/null 2>&1 && echo yes || true)
if [ -n "$is_checkout" ]; then tool check-sdist --no-isolation; else echo "left out: this is no checkout of git"; fi
tool validate-pyproject pyproject.toml
tool pyroma -n 10 .
tool python tools/check_wheel.py "$wheel"

step "the files around the code"
tool zizmor --offline --persona pedantic --no-progress .github
tool check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
tool check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
tool check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*_*.yml
tool check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
if [ -n "$is_checkout" ]; then git ls-files -z | xargs -0 "$work/tools/bin/codespell"; fi
tool towncrier build --draft --version "$version" >"$work/news.md"
head -20 "$work/news.md"

step "the wheel alone: anyio and attrs, and what these need"
python3 -m venv "$work/alone"
"$work/alone/bin/pip" install -q "$wheel"
"$work/alone/bin/pip" list --format freeze
cd "$work"  # the checkout is not to be imported
"$work/alone/bin/python" -I "$root/tools/import_alone.py"

mkdir "$work/sources"
tar -xzf "$sdist" -C "$work/sources" --strip-components 1
rm -rf "$work/sources/lionpride_exec"
cd "$work/sources"
for name in $pythons; do
    python=$(find_python "$name")
    if [ -z "$python" ]; then
        step "left out: there is no Python $name"
        continue
    fi
    step "the wheel and the tests of the source archive on Python $name"
    "$python" -m venv "$work/$name"
    "$work/$name/bin/pip" install -q "${wheel}[all,testing]" uvloop
    # Each part of an executor, with and without a journal. The whole suite runs elsewhere.
    "$work/$name/bin/python" -m pytest -q -p no:cacheprovider tests/model tests/executor/test_executor.py \
        tests/processing/test_processor.py tests/journal/test_journal.py tests/base/test_virtual_threads.py
done
step "the release checks have passed"
