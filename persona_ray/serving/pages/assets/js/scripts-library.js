// The library that calls begin with, its versions; files in and out.

import { byId, h, show } from "./dom.js";
import { count, date, word } from "./i18n.js";
import { getJson, request } from "./http.js";
import { twice } from "./screening.js";
import { act, toast } from "./theme.js";

const SCOPE = { scope: "operator" };
const LIBRARY = "/v1/assist/library";
const NAMED = /^(.+)\.(yaml|yml|csv)$/i;

export class ScriptLibrary {
  /** `changed` is called once calls begin with another library. */
  constructor(changed) {
    this._changed = changed;
    this._is = null; // LibraryAnswer
    this._file = null; // {file, query, body}, and {would} of its preview or {wrong}: what is wrong with it
    byId("choose").addEventListener("click", () => byId("file").click());
    byId("file").addEventListener("change", () => this._chosen());
  }

  async load() {
    await act(async () => { this._is = await getJson(LIBRARY, SCOPE); });
    this.draw();
  }

  draw() {
    if (!this._is) return;
    const { name, version, scripts, origin } = this._is;
    show(byId("library"), h("p", { class: "row" }, h("b", {}, word("library.is", { name, version })),
      h("span", { class: "muted small" }, [word("library.count", { n: count(scripts) }), word(`library.origin.${origin}`)].join(" · "))),
    origin === "file" && h("p", { class: "muted small" }, word("library.file")));
    show(byId("exports"), ["yaml", "csv"].map((form) => h("button", { type: "button", class: "quiet", "data-form": form, onclick: () => this._save(form) },
      word("library.export", { form: form.toUpperCase() }))));
    this._drawVersions();
    this._drawFile();
  }

  _drawVersions() {
    const { versions, origin } = this._is;
    if (!versions.length) return show(byId("versions"), h("p", { class: "muted small" }, word("library.none")));
    const named = (key) => ({ "data-name": word(key) });
    const row = (one) => h("tr", { "data-library": one.name, "data-version": one.version },
      h("th", { scope: "row" }, word("library.is", one)),
      h("td", { ...named("library.made") }, date(one.made_at), h("span", { class: "muted small" }, ` ${word("library.by", { name: one.made_by })}`)),
      h("td", { class: "n", ...named("library.scripts") }, count(one.scripts)),
      h("td", { class: "acts" }, origin !== "file" && (one.current ? h("span", { class: "badge good" }, word("library.current"))
        : twice(word("library.use"), word("library.use.sure"), () => this._use(one)))));
    return show(byId("versions"), h("table", { class: "narrowing" },
      h("thead", {}, h("tr", {}, h("th", {}, word("library.version")), h("th", {}, word("library.made")), h("th", { class: "n" }, word("library.scripts")),
        h("th", {}, h("span", { class: "only-read" }, word("library.acts"))))),
      h("tbody", {}, versions.map(row))));
  }

  async _use({ name, version }) {
    const done = await act(async () => {
      this._is = await getJson(`${LIBRARY}/use`, { ...SCOPE, method: "POST", json: { name, version } });
    }, word("library.use.done", { version }));
    this.draw();
    byId("choose").focus();
    if (done) await this._changed();
  }

  /** With the key, which a plain link does not send. */
  async _save(form) {
    await act(async () => {
      const { name, version, origin } = this._is;
      // What was shown is what is saved, though another may have put in a newer one meanwhile.
      const query = new URLSearchParams(origin === "store" ? { form, name, version } : { form });
      const data = await (await request(`${LIBRARY}/file?${query}`, SCOPE)).blob();
      const address = URL.createObjectURL(data);
      h("a", { href: address, download: `${name}-${version}.${form}` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    });
  }

  async _chosen() {
    const [file] = byId("file").files;
    if (!file) return;
    // The page keeps the bytes that were looked at: those are put in, whatever becomes of the file.
    const [, name, ending] = NAMED.exec(file.name) ?? [];
    this._file = { file: file.name, wrong: [word("import.form")] };
    if (name) {
      const query = { name: name.slice(0, 100), form: ending.toLowerCase().replace("yml", "yaml") };
      this._file = { file: file.name, query, body: await file.arrayBuffer() };
      const would = await this._post(true);
      if (would?.mistakes.length) this._file.wrong = would.mistakes;
      else this._file.would = would;
    }
    byId("file").value = "";
    this._drawFile();
    byId("import").focus();
  }

  async _post(preview) {
    const { query, body } = this._file;
    try {
      return await getJson(`${LIBRARY}/import?${new URLSearchParams({ ...query, preview })}`, { ...SCOPE, method: "POST", body });
    } catch (error) {
      this._file.wrong = [error.message];
      return null;
    }
  }

  async _put() {
    const done = await this._post(false);
    if (done) this._file = null;
    this._drawFile();
    if (!done) return byId("import").focus();
    await this.load();
    toast(word(this._is.origin === "file" ? "import.kept" : "import.done", done));
    byId("choose").focus();
    return this._changed();
  }

  _leave() {
    this._file = null;
    this._drawFile();
    byId("choose").focus();
  }

  _drawFile() {
    const box = byId("import");
    const { file, wrong, would } = this._file ?? {};
    box.dataset.state = wrong ? "wrong" : would ? "would" : "";
    const leave = h("button", { type: "button", class: "quiet", onclick: () => this._leave() }, word("import.leave"));
    if (wrong) return show(box, h("h3", { class: "problem" }, word("import.wrong", { file })), h("ul", { class: "mistakes" }, wrong.map(mistake)), h("div", { class: "row" }, leave));
    if (!would) return show(box);
    const kinds = ["added", "changed", "removed"].filter((kind) => would[kind].length);
    return show(box, h("h3", {}, word("import.would", would)),
      kinds.length ? h("dl", { class: "would" }, kinds.map((kind) => h("div", { class: kind }, h("dt", {}, word(`import.${kind}`, { n: count(would[kind].length) })), h("dd", {}, would[kind].join(", ")))))
        : h("p", { class: "muted" }, word("import.same")),
      h("div", { class: "row" }, h("button", { type: "button", class: "primary", id: "put", onclick: () => this._put() }, word("import.put")), leave));
  }
}

/** `file:line: what`, its place told apart; other lines as they are. */
function mistake(line) {
  const [, place, what] = /^(.+?(?::\d+|, row \d+)): (.*)$/.exec(line) ?? [];
  return h("li", {}, place ? [h("code", {}, place), " ", what] : line);
}
