import { render } from "preact";
import { watchCaller } from "./api";
import { Frame } from "./frame";
import { ROOT } from "./place";
import "./settings";

// The address changes without loading a page: what is relative to it must not change with it.
for (const link of document.querySelectorAll<HTMLLinkElement>("link[rel=icon]")) {
  link.href = new URL("icon.svg", ROOT).href;
}
watchCaller();
render(<Frame />, document.getElementById("app")!);
