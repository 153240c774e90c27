"""Two stores that share a database in these tests."""

from codin.database import Schema
from codin.errors import CodinError


class FruitError(CodinError):
    pass


class NewerFruit(FruitError):
    pass


class StoneError(CodinError):
    pass


_TABLE = ("CREATE TABLE fruit (name TEXT PRIMARY KEY, weight INTEGER NOT NULL)",)
_COLUMN = ("ALTER TABLE fruit ADD COLUMN colour TEXT NOT NULL DEFAULT 'green'",)

FRUIT = Schema(
    "fruit",
    "the fruit store",
    FruitError,
    sqlite=(_TABLE, _COLUMN),
    postgres=(_TABLE, _COLUMN),
    newer=NewerFruit,
    was_sqlite="fruit",
    was_postgres="codin_fruit.fruit_version",
)
OLD_FRUIT = Schema(
    "fruit", "the fruit store", FruitError, sqlite=(_TABLE,), postgres=(_TABLE,), newer=NewerFruit
)
_STONE = ("CREATE TABLE stone (name TEXT)",)
STONE = Schema("stone", "the stone store", StoneError, sqlite=(_STONE,), postgres=(_STONE,))

INSERT = "INSERT INTO fruit (name, weight) VALUES (%s, %s)"
ALL = "SELECT name, weight, colour FROM fruit ORDER BY name"
