/** Feedback on what is selected: one key for good and bad, a line for a note. */
import { useState } from "preact/hooks";
import type { ReviewJson, ReviewTargetJson } from "#api/review_pb";
import type { ListReviewsResponseJson } from "#api/review_service_pb";
import { call, caller, may, path, send, useLoad } from "../api";
import { Ago, Loads, say, Sent } from "../parts/small";

const author = () => caller.value?.keyId || "page";

/** The id of a person's thumb on a target: a second judgement replaces the first. */
function thumbId(target: ReviewTargetJson): string {
  const text = [author(), target.traceId, target.spanId, target.conversationId].join("\n");
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (const letter of text) {
    const code = letter.codePointAt(0)!;
    high = Math.imul(high ^ code, 2654435761);
    low = Math.imul(low ^ code, 1597334677);
  }
  return `thumb-${(target.spanId ?? target.traceId ?? "").slice(0, 64)}-${author()}-${
    (high >>> 0).toString(16)}${(low >>> 0).toString(16)}`;
}

export async function judge(target: ReviewTargetJson, score: number): Promise<void> {
  await write({ reviewId: thumbId(target), target, name: "thumb", score, author: author() },
    score ? "judged good" : "judged bad");
}

export async function note(target: ReviewTargetJson, comment: string): Promise<void> {
  const random = crypto.getRandomValues(new Uint32Array(4)).join("-");
  await write({ reviewId: `note-${random}`, target, name: "note", comment, author: author() },
    "note kept");
}

async function write(review: ReviewJson, done: string): Promise<void> {
  if (!may("review")) {
    say("This key may not judge: it needs the role review.");
    return;
  }
  try {
    const { reviewId, ...body } = review;
    await send(path`/v1/reviews/${reviewId!}`, {}, { method: "PUT", body });
    say(done);
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  }
}

export function NoteForm(
  { target, close, isAlways = false }:
  { target: ReviewTargetJson; close: () => void; isAlways?: boolean },
) {
  const what = target.spanId ? "span" : target.traceId ? "trace" : "session";
  return (
    <form class="note" onSubmit={(e) => {
      e.preventDefault();
      const text = String(new FormData(e.currentTarget).get("note") ?? "").trim();
      const form = e.currentTarget;
      if (text) void note(target, text).then(() => form.reset()).then(close);
    }}>
      <label for={isAlways ? "note-always" : "note"}>Note on this {what}</label>
      <input id={isAlways ? "note-always" : "note"} name="note" maxLength={10_000}
        autofocus={!isAlways}
        onKeyDown={(e) => { if (e.key === "Escape") close(); }} />
      <button type="submit">Keep</button>
      {!isAlways && <button type="button" onClick={close}>Cancel</button>}
    </form>
  );
}

export function Reviews({ target }: { target: ReviewTargetJson }) {
  const [turn, setTurn] = useState(0);
  const found = useLoad(`${JSON.stringify(target)} ${turn}`, (signal) =>
    call<ListReviewsResponseJson>("/v1/reviews", {
      traceIds: target.traceId ? [target.traceId] : undefined,
      spanId: target.spanId, conversationId: target.conversationId,
    }, { signal }));
  const again = () => setTurn(turn + 1);
  const remove = async (id: string) => {
    try {
      await send(path`/v1/reviews/${id}`, { allowMissing: true }, { method: "DELETE" });
      say("feedback deleted");
      again();
    } catch (error) {
      say(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <div class="reviews">
      {may("review") ? (
        <div class="bar">
          <button type="button" onClick={() => void judge(target, 1).then(again)}>▲ Good</button>
          <button type="button" onClick={() => void judge(target, 0).then(again)}>▼ Bad</button>
          <NoteForm target={target} close={again} isAlways />
        </div>
      ) : <p class="dim">This key may read feedback, not write it.</p>}
      <Loads of={found} lines={2}>
        {({ reviews = [] }) => reviews.length ? (
          <ul class="plain">
            {reviews.map((review) => (
              <li key={review.reviewId} class="review">
                <span class={Number(review.score) >= 0.5 ? "good" : "bad"}>
                  {review.score !== undefined && (review.name === "thumb"
                    ? Number(review.score) ? "▲ good" : "▼ bad" : String(review.score))}
                </span>{" "}
                <strong><Sent text={review.name} /></strong> <Sent text={review.label} />{" "}
                <Sent text={review.comment} />{" "}
                <span class="dim"><Sent text={review.author} /> <Ago at={review.createTime} /></span>{" "}
                {may("review") && (
                  <button type="button" class="small" onClick={() => void remove(review.reviewId!)}>
                    Delete
                  </button>
                )}
              </li>
            ))}
          </ul>
        ) : <p class="dim">No feedback yet.</p>}
      </Loads>
    </div>
  );
}
