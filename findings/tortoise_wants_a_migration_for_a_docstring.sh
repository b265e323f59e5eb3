#!/bin/bash
# A docstring is for readers, and one expects a comparison of models and migrations to ignore it.  Tortoise takes the first docstring of a
# model for a property of its table (table_description): other words, or words for a model that had none, make makemigrations write a
# migration (AlterModelOptions), though no column, key or index has changed.
# Versions: tortoise-orm 1.1.9, aiosqlite 0.21.0.  Source: this run.
# For a site: a check that models and migrations agree fails after a change of documentation alone; write comments on models instead.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q tortoise-orm==1.1.9 aiosqlite==0.21.0
cd "$folder"
mkdir -p shop/migrations
touch shop/__init__.py shop/migrations/__init__.py
cat > settings.py <<'PY'
CONFIG = {
    "connections": {"default": "sqlite://:memory:"},
    "apps": {"shop": {"models": ["shop.models"], "migrations": "shop.migrations", "default_connection": "default"}},
}
PY
models() {
  printf 'from tortoise import fields\nfrom tortoise.models import Model\n\n\nclass Plain(Model):\n%s    id = fields.IntField(primary_key=True)\n\n\nclass Described(Model):\n    """%s"""\n\n    id = fields.IntField(primary_key=True)\n' "$1" "$2" > shop/models.py
}
cat > look.py <<'PY'
import asyncio

from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector

from settings import CONFIG


async def main():
    async with TortoiseContext() as context:
        await context.init(config=CONFIG)
        changes = await MigrationAutodetector(context.apps, CONFIG["apps"]).changes()
    print(len(changes))


asyncio.run(main())
PY
models "" "First words."
venv/bin/tortoise -c settings.CONFIG makemigrations > made.log
models "" "First words."
unchanged=$(venv/bin/python look.py)
models "" "Quite other words."
other=$(venv/bin/python look.py)
models $'    """Words for a model that had none."""\n\n' "First words."
first=$(venv/bin/python look.py)
venv/bin/pip list 2> /dev/null | grep -i '^tortoise-orm '
echo "migrations wanted: nothing changed $unchanged, other words $other, a first docstring $first"
grep -ho "table_description': '[^']*'" shop/migrations/0001*.py
[ "$unchanged $other $first" = "0 1 1" ] || { echo "The behaviour has changed."; exit 1; }
