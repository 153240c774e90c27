"""The right answers to `goals.yaml`, worked out from the data with the standard library alone.

    python examples/eval/expected.py            # prints them as JSON

Plain loops over `csv` rows on purpose: nothing here is shared with what the platform computes with,
so that an agreement of the two means something.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from collections.abc import Callable, Mapping
from math import sqrt
from pathlib import Path

Row = Mapping[str, str]
Value = str | int | float
Values = dict[str, Value]

DATA = Path(__file__).parent.parent / "data"


def read(path: Path) -> list[Row]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cents(amount: str) -> int:
    """An amount with two decimals as whole cents, so that sums are exact."""
    whole, fraction = amount.split(".")
    return int(whole) * 100 + int(fraction)


def revenue_lead(rows: list[Row]) -> Values:
    """The region with the highest revenue in 2025 and its lead over the second."""
    revenue: Counter[str] = Counter()
    for row in rows:
        if row["date"].startswith("2025-"):
            revenue[row["region"]] += cents(row["revenue"])
    (region, first), (_, second) = revenue.most_common(2)
    return {"region": region, "lead": (first - second) / 100}


def online_order(rows: list[Row]) -> Values:
    """The average revenue of an online order."""
    amounts = [cents(row["revenue"]) for row in rows if row["channel"] == "online"]
    return {"average": round(sum(amounts) / len(amounts) / 100, 4)}


def best_month(rows: list[Row]) -> Values:
    """The month of 2025 with the most units, and the units."""
    units: Counter[int] = Counter()
    for row in rows:
        if row["date"].startswith("2025-"):
            units[int(row["date"][5:7])] += int(row["units"])
    month, sold = units.most_common(1)[0]
    return {"month": month, "units": sold}


def big_discounts(rows: list[Row]) -> Values:
    """The number of orders in the North with a discount of 15 percent or more."""
    north = (row for row in rows if row["region"] == "North")
    return {"orders": sum(1 for row in north if cents(row["discount"]) >= 15)}


def best_rated(rows: list[Row]) -> Values:
    """The product with the best average rating (where there is one), and the average."""
    stars: dict[str, list[int]] = {}
    for row in rows:
        if row["rating"]:
            stars.setdefault(row["product"], []).append(int(row["rating"]))
    average = {product: sum(given) / len(given) for product, given in stars.items()}
    product = max(average, key=average.__getitem__)
    return {"product": product, "average": round(average[product], 4)}


def busiest_zone(rows: list[Row]) -> Values:
    """The zone where most rides start, and how many."""
    zone, rides = Counter(row["zone"] for row in rows).most_common(1)[0]
    return {"zone": zone, "rides": rides}


def long_ride(rows: list[Row]) -> Values:
    """The average fare of a ride of more than 5 km."""
    fares = [cents(row["fare"]) for row in rows if float(row["distance_km"]) > 5]
    return {"average": round(sum(fares) / len(fares) / 100, 4)}


def distance_duration(rows: list[Row]) -> Values:
    """Pearson's correlation of distance and duration."""
    x = [float(row["distance_km"]) for row in rows]
    y = [float(row["duration_min"]) for row in rows]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    both = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    spread = sum((a - mean_x) ** 2 for a in x) * sum((b - mean_y) ** 2 for b in y)
    return {"correlation": round(both / sqrt(spread), 4)}


def busiest_hour(rows: list[Row]) -> Values:
    """The hour of the day in which most rides start, and how many."""
    hour, rides = Counter(int(row["start_time"][11:13]) for row in rows).most_common(1)[0]
    return {"hour": hour, "rides": rides}


def top_vehicle(rows: list[Row]) -> Values:
    """The kind of vehicle with the highest sum of fares, and its share of all fares in percent."""
    fares: Counter[str] = Counter()
    for row in rows:
        fares[row["vehicle"]] += cents(row["fare"])
    vehicle, sum_of_fares = fares.most_common(1)[0]
    return {"vehicle": vehicle, "share": round(100 * sum_of_fares / fares.total(), 4)}


CASES: Mapping[str, tuple[str, Callable[[list[Row]], Values]]] = {
    "sales-lead": ("sales/sales.csv", revenue_lead),
    "sales-online": ("sales/sales.csv", online_order),
    "sales-month": ("sales/sales.csv", best_month),
    "sales-discounts": ("sales/sales.csv", big_discounts),
    "sales-rating": ("sales/sales.csv", best_rated),
    "rides-zone": ("rides/rides.csv", busiest_zone),
    "rides-long": ("rides/rides.csv", long_ride),
    "rides-correlation": ("rides/rides.csv", distance_duration),
    "rides-hour": ("rides/rides.csv", busiest_hour),
    "rides-share": ("rides/rides.csv", top_vehicle),
}


def expected(data: Path = DATA) -> dict[str, Values]:
    """The values of every case, by case id and name of the value."""
    return {case: answer(read(data / name)) for case, (name, answer) in CASES.items()}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Print the right answers as JSON.")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder with the data sets")
    print(json.dumps(expected(parser.parse_args().data), indent=2))


if __name__ == "__main__":
    main()
