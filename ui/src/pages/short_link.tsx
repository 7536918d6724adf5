/** `/ui/t/{trace}` and `/ui/s/{span}`: short addresses for logs, in the project of the key. */
import { useEffect, useState } from "preact/hooks";
import type { ListSpansResponseJson } from "#api/span_service_pb";
import { call, caller } from "../api";
import { Empty, title } from "../parts/small";
import { go, place, to } from "../place";

export function ShortLink() {
  const { path, query } = place.value;
  const [failure, setFailure] = useState("");
  const id = path.slice(1).join("/");
  const known = caller.value;
  title(id);
  useEffect(() => {
    if (!known) return;
    const project = query.get("project") ?? known.projectId ?? "default";
    if (path[0] === "t") {
      go(to(["p", project, "traces", id]));
      return;
    }
    call<ListSpansResponseJson>("/v1/spans", {
      filter: { text: id }, pageSize: 20, view: "SPAN_VIEW_BASIC",
    }).then((found) => {
      const span = found.spans?.find((one) => one.spanId === id);
      if (span) go(to(["p", project, "traces", span.traceId ?? ""], { span: id }));
      else setFailure(`No span has the id ${id}.`);
    }, (error: unknown) => setFailure(error instanceof Error ? error.message : String(error)));
  }, [known, id]);
  return <Empty><p>{failure || "Looking…"}</p></Empty>;
}
