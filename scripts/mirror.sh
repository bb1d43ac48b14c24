#!/usr/bin/env bash
# Print the Debian mirror that apt on this machine uses: bash scripts/mirror.sh
set -euo pipefail

# Security and third-party sources carry only part of a suite, hence the three conditions.
mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(ORIGIN) $(REPO_URI)' 'Created-By: Packages' |
  awk '$2 == "main" && $1 !~ /[-\/]/ && $3 == "Debian" && !found++ { print $4 }')
[ -n "$mirror" ] || { echo "mirror.sh: apt on this machine knows no Debian mirror" >&2; exit 1; }
echo "$mirror"
