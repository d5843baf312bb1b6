"""How a report looks: one style sheet for light and dark, for a phone and a desk."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark;
  --paper: #ffffff; --card: #f6f7f9; --ink: #1b1f24; --quiet: #57606a; --rule: #d5dae0; --link: #0b57a4;
  --heat: #0a4f9e; --on-heat: #ffffff; --right: #1a7f45; --wrong: #c02f1d;
  --c0: #0b62b8; --c1: #c4500b; --c2: #12805c; --c3: #a3348c; --c4: #7a6200; --c5: #0e7c93; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171b; --card: #1d2228; --ink: #e8ebee; --quiet: #a2adb8; --rule: #39424c; --link: #7db8f5;
  --heat: #79b8ff; --on-heat: #0c1622; --right: #5fcf8d; --wrong: #ff8a75;
  --c0: #6cb2ff; --c1: #ffa35c; --c2: #56d3a5; --c3: #f29ae0; --c4: #e3c64b; --c5: #5fd2e6; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: anywhere; }
main { max-width: 72rem; margin: 0 auto; padding: 1rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .6rem 0 .2rem; }
h2 { font-size: 1.2rem; margin: 0 0 .6rem; } h3 { font-size: 1rem; margin: 1rem 0 .4rem; }
p { margin: .4rem 0; } a { color: var(--link); }
.lead { font-size: 1.05rem; } .note, figcaption, .quiet { color: var(--quiet); font-size: .88rem; }
section { background: var(--card); border: 1px solid var(--rule); border-radius: .6rem; padding: 1rem;
  margin: 1rem 0; min-width: 0; }
@media (min-width: 60rem) { .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1.4rem; } }
.pair > * { min-width: 0; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1rem; list-style: none; padding: 0; margin: .6rem 0; }
code, .words { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .86rem; }
.words { background: var(--paper); border: 1px solid var(--rule); border-radius: .4rem; padding: .5rem .7rem;
  margin: .4rem 0; white-space: pre-wrap; }
.scroll { overflow-x: auto; margin: .4rem 0; }
table { border-collapse: collapse; font-size: .9rem; } caption { text-align: left; color: var(--quiet);
  font-size: .88rem; padding-bottom: .3rem; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--rule); vertical-align: top;
  overflow-wrap: normal; }
th { font-weight: 600; } td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
td code { overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: minmax(6.5rem, max-content) 1fr; gap: .2rem 1rem; margin: .4rem 0; }
dt { color: var(--quiet); } dd { margin: 0; min-width: 0; }
figure { margin: .6rem 0; } figure svg { display: block; width: 100%; max-width: 34rem; height: auto; }
svg text { fill: var(--ink); font-size: 11px; } svg .quiet { fill: var(--quiet); }
svg .axis { stroke: var(--quiet); stroke-width: 1; } svg .grid { stroke: var(--rule); stroke-width: .7; }
.legend { display: flex; flex-wrap: wrap; gap: .15rem .9rem; list-style: none; padding: 0; margin: .3rem 0;
  font-size: .86rem; }
.legend svg { width: 1.6em; height: 1em; vertical-align: -.12em; margin-right: .3em; display: inline; }
.numbered { columns: 16rem; font-size: .86rem; padding-left: 1.8rem; margin: .4rem 0; }
.bar { display: block; height: .7rem; background: var(--c0); border-radius: .15rem; min-width: 1px; }
.bars td:nth-child(2) { width: 50%; min-width: 7rem; vertical-align: middle; } .bars table { width: 100%; max-width: 34rem; }
.row { display: flex; flex-wrap: wrap; gap: .5rem; align-items: flex-start; margin: .3rem 0 .9rem; }
.thumb { width: 4.2rem; margin: 0; font-size: .74rem; line-height: 1.25; color: var(--quiet); }
.thumb img { display: block; width: 4.2rem; height: 4.2rem; object-fit: contain; image-rendering: auto;
  background: var(--paper); border: 3px solid var(--rule); border-radius: .3rem; }
.thumb.small img { image-rendering: pixelated; }
.thumb.right img { border-color: var(--right); } .thumb.wrong img { border-color: var(--wrong); border-style: dashed; }
.thumb.query img { border-color: var(--ink); }
.then { align-self: center; color: var(--quiet); }
details > summary { cursor: pointer; color: var(--link); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
@media (max-width: 30rem) { section { padding: .8rem .7rem; } main { padding: .5rem .6rem 3rem; }
  .thumb, .thumb img { width: 3.4rem; } .thumb img { height: 3.4rem; } dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .4rem; } }
@media print { section { break-inside: avoid; } nav { display: none; } }
"""
