# For sections that are shell scripts: `check "claim" command…` for each claim, and `report "title"` at the end.

RESULTS=test/interop/RESULTS.md
checks=$(mktemp)
failed=0
passed=0

check() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    passed=$((passed + 1))
    echo "- $name: passed" >>"$checks"
  else
    failed=$((failed + 1))
    echo "- $name: FAILED" >>"$checks"
    printf 'FAILED: %s\n%s\n' "$name" "$output" >&2
  fi
}

report() {
  {
    printf '\n## %s: %s, %s of %s passed\n\n%s\n\n' "$(date +%F)" "$1" "$passed" "$((passed + failed))" "$2"
    cat "$checks"
  } >>"$RESULTS"
  rm -f "$checks"
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}

# Installs the packages whose commands are missing: need command=package…
need() {
  local pair missing=()
  for pair in "$@"; do
    PATH=$PATH:/usr/sbin command -v "${pair%%=*}" >/dev/null || missing+=("${pair##*=}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Repeats a command until it succeeds, for at most 20 seconds.
until_ok() {
  local end=$((SECONDS + 20))
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}
