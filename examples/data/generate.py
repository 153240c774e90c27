"""Writes the example data sets: the same bytes on every machine and every Python version.

    python examples/data/generate.py [--out FOLDER]

Standard library only. Money is kept in whole cents and every draw comes from `Random.random()`,
the one method whose sequence Python promises to keep for a seed, so no file ever differs.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TypeVar

T = TypeVar("T")

SALES_SEED = 20240101
SALES_ROWS = 4200
RIDES_SEED = 20250301
RIDES_ROWS = 3600

# name: (category, list price in cents, cost in cents, how often it sells, mean rating)
PRODUCTS: Mapping[str, tuple[str, int, int, float, float]] = {
    "Desk Lamp": ("Lighting", 3990, 1850, 16, 3.9),
    "Office Chair": ("Furniture", 18900, 10400, 9, 3.7),
    "Standing Desk": ("Furniture", 42900, 25800, 5, 4.1),
    "Monitor Arm": ("Furniture", 7950, 3900, 11, 4.4),
    "Headset": ("Electronics", 6490, 3300, 14, 3.3),
    "Webcam": ("Electronics", 5400, 2700, 12, 3.1),
    "Keyboard": ("Electronics", 7250, 3600, 15, 4.0),
    "Café Mug": ("Kitchen", 1240, 410, 18, 3.8),
}
CHANNELS: Mapping[str, float] = {"online": 46, "store": 34, "partner": 20}
# North overtakes West only in 2025: whoever forgets the year names the wrong region.
REGIONS: Mapping[int, Mapping[str, float]] = {
    2024: {"North": 15, "South": 21, "East": 19, "West": 32, "Central": 13},
    2025: {"North": 29, "South": 19, "East": 17, "West": 23, "Central": 12},
}
# The strongest month moves from November to September.
MONTHS: Mapping[int, Sequence[float]] = {
    2024: (7, 6, 8, 8, 8, 7, 6, 6, 9, 9, 15, 11),
    2025: (7, 6, 8, 8, 9, 8, 6, 8, 14, 9, 11, 9),
}
DISCOUNTS: Mapping[int, float] = {0: 52, 5: 18, 10: 15, 15: 10, 20: 5}
NOTES = (
    "gift wrapping",
    'customer asked for "express", paid extra',
    "delivered to the neighbour, signed",
    "repeat customer",
    "façade entrance closed, use the yard",
)

ZONES: Mapping[str, float] = {
    "Old Town": 22,
    "Harbour": 17,
    "University": 26,
    "Airport": 9,
    "Stadium": 11,
    "Riverside": 15,
}
# name: (base fare, per km, per minute, all in cents; km an hour; how often it is taken)
VEHICLES: Mapping[str, tuple[int, int, int, float, float]] = {
    "bike": (100, 20, 9, 14.0, 31),
    "scooter": (100, 35, 16, 17.0, 27),
    "car": (320, 115, 28, 27.0, 30),
    "van": (480, 150, 34, 24.0, 12),
}
PAYMENTS: Mapping[str, float] = {"card": 48, "app": 37, "cash": 15}
HOURS = (3, 2, 1, 1, 1, 3, 8, 15, 21, 13, 10, 11, 14, 12, 11, 13, 17, 23, 27, 19, 13, 10, 8, 5)


def pick(rng: Random, weights: Mapping[T, float]) -> T:
    """One key, drawn by weight."""
    left = rng.random() * sum(weights.values())
    for key, weight in weights.items():
        left -= weight
        if left < 0:
            return key
    return next(reversed(list(weights)))


def money(cents: int) -> str:
    """Cents as an amount with two decimals."""
    return f"{cents // 100}.{cents % 100:02d}"


def rating(rng: Random, mean: float, answered: float) -> str:
    """Stars from 1 to 5 around `mean`, empty where the customer gave none."""
    drawn = rng.random() + rng.random() + rng.random() + rng.random() - 2
    stars = min(5, max(1, int(mean + 1.6 * drawn + 0.5)))
    return str(stars) if rng.random() < answered else ""


def sale_days(rng: Random) -> list[date]:
    """The days of all orders, in order; the second year sells a little more than the first."""
    days = []
    for _ in range(SALES_ROWS):
        year = pick(rng, {2024: 48, 2025: 52})
        month = pick(rng, dict(enumerate(MONTHS[year], start=1)))
        following = date(year + month // 12, month % 12 + 1, 1)
        length = (following - date(year, month, 1)).days
        days.append(date(year, month, 1 + int(rng.random() * length)))
    return sorted(days)


def sales() -> Iterable[list[str]]:
    """The orders of an office supplier in 2024 and 2025, by day."""
    yield [
        *("order_id", "date", "region", "product", "channel", "units"),
        *("unit_price", "discount", "revenue", "rating", "note"),
    ]
    rng = Random(SALES_SEED)
    frequency = {name: row[3] for name, row in PRODUCTS.items()}
    for number, day in enumerate(sale_days(rng), start=10001):
        region = pick(rng, REGIONS[day.year])
        product = pick(rng, frequency)
        _, listed, _, _, stars = PRODUCTS[product]
        price = listed * (103 if day.year == 2025 else 100) // 100
        units = 1 + int(rng.random() * rng.random() * 12)
        channel = pick(rng, CHANNELS)
        discount = pick(rng, DISCOUNTS)
        revenue = (units * price * (100 - discount) + 50) // 100
        note = NOTES[int(rng.random() * len(NOTES))] if rng.random() < 0.06 else ""
        yield [
            *(f"SO-{number}", day.isoformat(), region, product, channel, str(units)),
            *(money(price), f"0.{discount:02d}", money(revenue), rating(rng, stars, 0.62), note),
        ]


def products() -> Iterable[list[str]]:
    """The catalogue that the orders refer to by product name."""
    yield ["product", "category", "list_price", "unit_cost"]
    for name, (category, price, cost, _, _) in PRODUCTS.items():
        yield [name, category, money(price), money(cost)]


def ride_times(rng: Random) -> list[datetime]:
    """When the rides start: half a year from March 2025, in order."""
    hours = dict(enumerate(HOURS))
    first = datetime(2025, 3, 1)
    times = []
    for _ in range(RIDES_ROWS):
        day = timedelta(days=int(rng.random() * 184))
        minute = timedelta(hours=pick(rng, hours), minutes=int(rng.random() * 60))
        times.append(first + day + minute)
    return sorted(times)


def rides() -> Iterable[list[str]]:
    """The rides of a city's hire service from March to August 2025, by start."""
    yield [
        *("ride_id", "start_time", "zone", "vehicle", "distance_km", "duration_min"),
        *("fare", "tip", "payment", "rating"),
    ]
    rng = Random(RIDES_SEED)
    frequency = {name: row[4] for name, row in VEHICLES.items()}
    for number, start in enumerate(ride_times(rng), start=1):
        zone = pick(rng, ZONES)
        vehicle = pick(rng, frequency)
        base, per_km, per_minute, speed, _ = VEHICLES[vehicle]
        reach = 18 if zone == "Airport" else 11
        tenths = 6 + int(rng.random() * rng.random() * reach * 10 * (1 if speed > 20 else 0.6))
        minutes = 2 + int(tenths / 10 / speed * 60 * (0.75 + rng.random() * 0.7))
        fare = base + tenths * per_km // 10 + minutes * per_minute
        payment = pick(rng, PAYMENTS)
        generous = payment != "cash" and rng.random() < (0.55 if speed > 20 else 0.2)
        tip = fare * (5 + int(rng.random() * 16)) // 100 if generous else 0
        yield [
            *(f"R{number:05d}", start.strftime("%Y-%m-%d %H:%M"), zone, vehicle),
            *(f"{tenths // 10}.{tenths % 10}", str(minutes), money(fare), money(tip), payment),
            rating(rng, 4.1, 0.5),
        ]


FILES = {"sales/sales.csv": sales, "sales/products.csv": products, "rides/rides.csv": rides}


def write(folder: Path) -> list[Path]:
    """Writes every file below `folder`, replacing what is there; returns their paths."""
    written = []
    for name, rows in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows())
        written.append(path)
    return written


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write the example data sets.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="the folder")
    for path in write(parser.parse_args().out):
        print(f"{path} ({path.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
