"""Write what the acceptance tests measured into RESULTS.md, between its two marks."""

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- acceptance: written by make acceptance -->", "<!-- end of acceptance -->"


def main() -> None:
    """Collect build/acceptance/*.json into one table per world."""
    worlds: dict[str, list[dict[str, str]]] = {}
    for file in sorted((ROOT / "build" / "acceptance").glob("*.json")):
        content = json.loads(file.read_text())
        worlds.setdefault(content["world"].rstrip("."), []).extend(content["rows"])
    lines = []
    for world, rows in worlds.items():
        lines += [f"### {world}", "", "| quantity | measured | expected |", "|---|---|---|"]
        lines += [f"| {row['quantity']} | {row['value']} | {row['expected']} |" for row in rows]
        lines.append("")
    path = ROOT / "benchmarks" / "RESULTS.md"
    text = path.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"{END}{after}")
    print(f"{sum(map(len, worlds.values()))} figures written to {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
