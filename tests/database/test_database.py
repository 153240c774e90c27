"""What databases of both kinds do for the stores that share them."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from schemas import ALL, FRUIT, INSERT, OLD_FRUIT, STONE, FruitError, NewerFruit, StoneError

from codin.database import Database, DatabaseError, open_database, storable

Make = Callable[[], Database]


async def test_stores_share_a_database(database: Database) -> None:
    fruit, stone = database.tables(FRUIT), database.tables(STONE)
    await fruit.change((INSERT, ("apple", 3)))
    assert await stone.change(("INSERT INTO stone VALUES (%s) RETURNING name", ("flint",))) == [
        ("flint",)
    ]
    assert await fruit.rows(ALL) == [("apple", 3, "green")]
    assert await stone.rows("SELECT name FROM stone WHERE name = %s", ("flint",)) == [("flint",)]


async def test_many_who_begin_at_once_make_the_tables_once(at_place: Make) -> None:
    everywhere = [at_place().tables(schema) for schema in (FRUIT, STONE) * 4]
    await asyncio.gather(*(tables.open() for tables in everywhere))
    await asyncio.gather(
        *(
            tables.change((INSERT, (f"apple {number}", number)))
            for number, tables in enumerate(everywhere[::2])
        )
    )
    assert len(await everywhere[0].rows(ALL)) == 4


async def test_tables_are_brought_forward(at_place: Make) -> None:
    old = at_place().tables(OLD_FRUIT)
    await old.change((INSERT, ("apple", 3)))
    assert await at_place().tables(FRUIT).rows(ALL) == [("apple", 3, "green")]


async def test_what_a_newer_codin_made_is_refused_and_the_rest_goes_on(at_place: Make) -> None:
    await at_place().tables(FRUIT).open()
    database = at_place()
    with pytest.raises(
        NewerFruit, match=r"the fruit store in .* newer codin \(schema 2, this one knows 1\)"
    ):
        await database.tables(OLD_FRUIT).rows(ALL)
    await database.tables(STONE).change(("INSERT INTO stone VALUES ('flint')", ()))


async def test_a_migration_that_fails_leaves_nothing(at_place: Make) -> None:
    wrong = (("CREATE TABLE fruit (name TEXT)", "CREATE TABLE fruit (name TEXT)"),)
    broken = replace(FRUIT, sqlite=wrong, postgres=wrong)
    with pytest.raises(FruitError, match=r"cannot be opened: .*already exists"):
        await at_place().tables(broken).open()
    fruit = at_place().tables(FRUIT)
    await fruit.change((INSERT, ("apple", 3)))
    assert len(await fruit.rows(ALL)) == 1


async def test_a_change_is_all_or_nothing(database: Database) -> None:
    fruit = database.tables(FRUIT)
    await fruit.change((INSERT, ("apple", 3)))
    pear, apple = (INSERT, ("pear", 1)), (INSERT, ("apple", 9))
    for change in (fruit.change(pear, apple), fruit.change_alone("x", pear, apple)):
        with pytest.raises(FruitError, match="cannot be used"):
            await change
    assert await fruit.rows(ALL) == [("apple", 3, "green")]
    found = await fruit.change(pear, ("UPDATE fruit SET weight = 5 RETURNING name", ()))
    assert sorted(found) == [("apple",), ("pear",)]
    assert await fruit.change(("DELETE FROM fruit", ()), lasting=True) == []
    assert await fruit.rows(ALL) == []


async def test_alone_is_alone(at_place: Make) -> None:
    once = f"{INSERT.partition('VALUES')[0]} SELECT %s, count(*) FROM fruit"
    stores = [await at_place().tables(FRUIT).open() for _ in range(3)]
    for number in range(4):
        await asyncio.gather(
            *(
                store.change_alone("weights", (once, (f"{number}-{index}",)))
                for index, store in enumerate(stores)
            )
        )
    weights = [weight for _, weight, _ in await stores[0].rows(ALL)]
    assert sorted(weights) == list(range(12))


async def test_one_of_many(database: Database) -> None:
    fruit = await database.tables(FRUIT).open()
    for number, name in enumerate("abcd"):
        await fruit.change((INSERT, (name, number)))
    for column, values, names in (
        ("weight", (1, 3), "bd"),
        ("name", {"a", "'; --", 'x"y'}, "a"),
        ("name", (), ""),
    ):
        among, given = fruit.among(values)
        query = f"SELECT name FROM fruit WHERE {column} {among} ORDER BY name"
        assert "".join(name for (name,) in await fruit.rows(query, (given,))) == names


async def test_the_clock_is_the_databases(database: Database) -> None:
    fruit = database.tables(FRUIT)
    ((first,),) = await fruit.rows(f"SELECT {fruit.NOW}")
    await asyncio.sleep(0.05)
    ((second,),) = await fruit.rows(f"SELECT {fruit.NOW}")
    assert 0.04 < second - first < 30
    assert first > 1_700_000_000


async def test_a_store_raises_its_own_errors(database: Database) -> None:
    fruit, stone = database.tables(FRUIT), database.tables(STONE)
    with pytest.raises(FruitError, match=r"the fruit store in .* cannot be used"):
        await fruit.rows("SELECT * FROM nowhere")
    with pytest.raises(StoneError, match=r"the stone store in .* cannot be used"):
        await stone.change(("INSERT INTO nowhere VALUES (1)", ()))
    await database.close()
    with pytest.raises(FruitError, match="is closed"):
        await fruit.rows(ALL)
    with pytest.raises(StoneError, match="is closed"):
        await stone.change(("INSERT INTO stone VALUES ('flint')", ()))
    with pytest.raises(DatabaseError, match="is closed"):
        await database.open()
    with pytest.raises(StoneError, match="is closed"):
        await database.tables(STONE).open()


async def test_a_closed_store_leaves_the_others_theirs(database: Database) -> None:
    fruit, stone = database.tables(FRUIT), database.tables(STONE)
    await fruit.open()
    await fruit.close()
    await fruit.close()
    with pytest.raises(FruitError, match="the fruit store is closed"):
        await fruit.rows(ALL)
    await stone.change(("INSERT INTO stone VALUES ('flint')", ()))


async def test_who_owns_a_database_closes_it(at_place: Make) -> None:
    database = at_place()
    fruit = await database.tables(FRUIT, owned=True).open()
    await fruit.close()
    with pytest.raises(DatabaseError, match="is closed"):
        await database.open()


async def test_who_cannot_open_leaves_nothing_open(at_place: Make) -> None:
    await at_place().tables(FRUIT).open()
    database = at_place()
    with pytest.raises(NewerFruit):
        await database.tables(OLD_FRUIT, owned=True).open()
    with pytest.raises(DatabaseError, match="is closed"):
        await database.open()


async def test_closing_waits_for_what_was_handed_in(at_place: Make) -> None:
    database = at_place()
    fruit = await database.tables(FRUIT).open()
    writing = [asyncio.create_task(fruit.change((INSERT, (str(n), n)))) for n in range(50)]
    await asyncio.sleep(0)
    await asyncio.gather(database.close(), database.close())
    await asyncio.gather(*writing)
    assert len(await at_place().tables(FRUIT).rows(ALL)) == 50


async def test_a_cancelled_write_is_whole_or_not_there(database: Database) -> None:
    fruit = await database.tables(FRUIT).open()
    for number in range(20):
        both = ((INSERT, (f"{number}a", 1)), (INSERT, (f"{number}b", 1)))
        writing = asyncio.create_task(fruit.change(*both))
        await asyncio.sleep(number / 10_000)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    await fruit.change((INSERT, ("last", 1)))
    names = [name for name, _, _ in await fruit.rows(ALL)][:-1]
    assert [name[:-1] for name in names[::2]] == [name[:-1] for name in names[1::2]]


async def test_an_address_means_one_kind_or_the_other(place: str) -> None:
    async with await open_database(place) as database:
        assert type(database).__name__ == (
            "PostgresDatabase" if place.startswith("postgresql://") else "SqliteDatabase"
        )
        assert database.place


async def test_what_cannot_be_opened_says_why_without_a_password(tmp_path: object) -> None:
    for place in (
        "postgresql://ann:hunter2@127.0.0.1:1/nowhere",
        "postgres://ann:hunter2@127.0.0.1:1/nowhere?what=this",
        "/dev/null/codin.db",
    ):
        with pytest.raises(DatabaseError, match="cannot be opened") as raised:
            await open_database(place)
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "can"),
    [("ä\U0001f600", True), ("", True), (None, True), ("\0", False), ("\udfff", False)],
)
def test_which_texts_can_be_stored(text: str | None, can: bool) -> None:
    assert storable("plain", text) is can
