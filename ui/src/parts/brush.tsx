/** Choosing a range by dragging a pointer. What uses it also has inputs that do the same. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { PointerEventHandler } from "preact";

// A shorter way of the pointer, in pixels, is a click.
const CLICK = 4;

interface Brush {
  /** The range while it is dragged, as shares of the width, 0 to 1. */
  range: [number, number] | null;
  handlers: Record<"onPointerDown" | "onPointerMove" | "onPointerUp" | "onPointerCancel",
    PointerEventHandler<HTMLElement>>;
}

/** Handlers for the element over which the pointer is dragged. Escape ends a drag without effect. */
export function useBrush(done: (from: number, to: number) => void): Brush {
  // The pointer may move and be released before the state is drawn.
  const drag = useRef<{ start: number; range: [number, number] | null } | null>(null);
  const [range, setRange] = useState<[number, number] | null>(null);
  const end = () => {
    drag.current = null;
    setRange(null);
  };
  useEffect(() => {
    const cancel = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || !drag.current?.range) return;
      event.stopPropagation();
      end();
    };
    addEventListener("keydown", cancel, true);
    return () => removeEventListener("keydown", cancel, true);
  }, []);
  return {
    range,
    handlers: {
      onPointerDown: (event) => {
        if (event.button === 0) drag.current = { start: share(event), range: null };
      },
      onPointerMove: (event) => {
        if (!drag.current) return;
        const { start } = drag.current;
        const at = share(event);
        if (!drag.current.range) {
          if (Math.abs(at - start) * event.currentTarget.clientWidth < CLICK) return;
          // From here on, it is no click on what is below the pointer.
          event.currentTarget.setPointerCapture(event.pointerId);
        }
        drag.current.range = at < start ? [at, start] : [start, at];
        setRange(drag.current.range);
      },
      onPointerUp: () => {
        const chosen = drag.current?.range;
        end();
        if (chosen) done(...chosen);
      },
      onPointerCancel: end,
    },
  };
}

function share(event: PointerEvent & { currentTarget: HTMLElement }): number {
  const box = event.currentTarget.getBoundingClientRect();
  return Math.max(0, Math.min(1, (event.clientX - box.left) / Math.max(1, box.width)));
}

/** What is chosen, drawn over the element, which has a position. */
export function Brushed({ range }: { range: readonly [number, number] | null }) {
  if (!range) return null;
  const [from, to] = range;
  return <span class="brushed" style={{ left: `${from * 100}%`, width: `${(to - from) * 100}%` }} />;
}
