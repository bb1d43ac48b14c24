#!/usr/bin/env bash
# What `npm run docs` runs after the build: docs/api/, a page for each public name, made of the docstrings. Red when a
# public name has none, or a page would have a link that leads nowhere.
set -euo pipefail
cd "$(dirname "$0")/.."
npx api-extractor run
npx api-extractor run -c api-extractor.testing.json
rm -rf docs/api
npx api-documenter markdown --input-folder temp --output-folder docs/api >temp/documenter.log || {
  cat temp/documenter.log >&2
  exit 1
}
if grep -i 'warning' temp/documenter.log >&2; then exit 1; fi
echo "docs/api/index.md: $(find docs/api -name '*.md' | wc -l) pages"
