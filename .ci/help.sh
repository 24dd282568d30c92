# The scripts here read this first: `--help` prints the comment at the head of the script, and ends it.
case ${1:-} in
-h | --help)
  sed -n '2,${/^#/!q; s/^# \{0,1\}//; p}' "$0"
  exit
  ;;
esac
