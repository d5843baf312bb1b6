"""Style sheet and script of the page of a prediction."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #16191d; --soft: #5a6370; --line: #dde1e7;
  --accent: #2459b8; --track: #e6eaf0;
  --warn: #8a4b00; --warn-bg: #fff0d9; --note-bg: #e3ecfb; --note: #1d4a94;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #121519; --card: #1b2026; --ink: #e8ebef; --soft: #a0aab6; --line: #303842;
    --accent: #7fa9f5; --track: #2b323b;
    --warn: #ffc677; --warn-bg: #3d2b10; --note-bg: #1d2c47; --note: #a9c7fb;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
main, header { max-width: 1240px; margin: 0 auto; padding: 0 16px; }
header { padding-top: 24px; }
h1 { font-size: 1.5rem; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 28px 0 10px; }
p { margin: 4px 0; color: var(--soft); overflow-wrap: anywhere; }
.figures { display: flex; flex-wrap: wrap; gap: 10px; margin: 16px 0; }
.figure { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 10px 16px; }
.figure b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.figure span { color: var(--soft); font-size: .85rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td, th { text-align: left; padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 500; width: 9.5em; }
.classes, .cards { display: grid; gap: 12px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); }
.class, .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px;
  min-width: 0; }
.class h3 { margin: 0 0 8px; font-size: .95rem; overflow-wrap: anywhere; }
.class h3 small { color: var(--soft); font-weight: 400; }
.strip { display: flex; flex-wrap: wrap; gap: 6px; }
.thumb { display: inline-block; width: 48px; height: 48px; border-radius: 6px; border: 1px solid var(--line);
  background: var(--track) center / contain no-repeat; flex: none; }
.small { image-rendering: pixelated; }
.card { display: grid; grid-template-columns: 96px minmax(0, 1fr); gap: 4px 12px; align-content: start; }
.card > img, .card > .none { width: 96px; height: 96px; object-fit: contain; border-radius: 6px;
  background: var(--track); grid-row: 1 / span 2; }
.none { display: grid; place-items: center; color: var(--soft); font-size: .8rem; text-align: center; }
.name { font-size: .8rem; color: var(--soft); overflow-wrap: anywhere; }
.card > div { min-width: 0; }
.badge { display: inline-block; border-radius: 10px; padding: 1px 9px; font-size: .78rem;
  margin: 4px 4px 2px 0; max-width: 100%; overflow-wrap: anywhere; }
.unlike { background: var(--warn-bg); color: var(--warn); }
.same { background: var(--note-bg); color: var(--note); }
.row { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0 8px; font-size: .88rem;
  margin-top: 4px; }
.row b { overflow-wrap: anywhere; font-weight: 500; }
.row:first-child b { font-weight: 700; }
.row span { color: var(--soft); font-variant-numeric: tabular-nums; white-space: nowrap; }
.bar { grid-column: 1 / -1; height: 4px; border-radius: 2px; background: var(--track); overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--accent); }
.near { grid-column: 1 / -1; display: flex; align-items: center; flex-wrap: wrap; gap: 6px; margin-top: 6px;
  color: var(--soft); font-size: .8rem; }
form { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin: 0 0 12px; color: var(--soft); }
select { font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: 6px 10px; max-width: 100%; }
ul { padding-left: 20px; color: var(--soft); font-size: .9rem; overflow-wrap: anywhere; }
footer { color: var(--soft); font-size: .85rem; max-width: 1240px; margin: 24px auto; padding: 0 16px 24px; }
@media (max-width: 600px) {
  header { padding-top: 16px; }
  .figures { display: grid; grid-template-columns: 1fr 1fr; }
  .figure { padding: 8px 12px; }
  th { width: 6em; }
}
[hidden] { display: none !important; }
""".strip()

# Without it everything is shown.
SCRIPT = """
const form = document.querySelector("form"), cards = [...document.querySelectorAll(".card")];
const shown = document.getElementById("shown");
const filter = () => {
  const chosen = form.elements.class.value, what = form.elements.what.value;
  let count = 0;
  for (const card of cards) {
    const fits = (chosen === "" || card.dataset.class === chosen) &&
      (what === "" || card.dataset.flags.split(" ").includes(what));
    card.hidden = !fits;
    count += fits;
  }
  shown.textContent = count + " shown";
};
form.hidden = false;
form.addEventListener("change", filter);
filter();
""".strip()
