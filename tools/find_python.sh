# Print a Python that the course supports and that can make an environment; say what to do if none.
for python in python3.11 python3 python3.12 python3.13 python3.14 python3.10; do
    if "$python" -c 'import sys, ensurepip, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 15))' 2>/dev/null; then
        echo "$python"
        exit 0
    fi
done
echo "No usable Python found. This course needs Python 3.10 to 3.14 with the venv module." >&2
echo "On Debian or Ubuntu: sudo apt install python3 python3-venv" >&2
exit 1
