import { render } from "preact";
import { watchCaller } from "./api";
import { Frame } from "./frame";
import "./settings";

watchCaller();
render(<Frame />, document.getElementById("app")!);
