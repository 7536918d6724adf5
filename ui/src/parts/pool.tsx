/** A long list of rows of one height, of which only those in view are in the document. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";

interface Props {
  count: number;
  rowHeight: number;
  row: (index: number) => ComponentChildren;
  /** The row to bring into view when it changes; -1 for none. */
  active?: number;
  label: string;
  role: "treegrid" | "grid";
  columns?: number;
  className?: string;
  header?: ComponentChildren;
  /** Called near the end of the rows. */
  onEnd?: () => void;
  onView?: (first: number, last: number) => void;
  activeId?: string;
  footer?: ComponentChildren;
}

// Browsers limit the height of an element; beyond this, positions are scaled.
const MOST_PIXELS = 15_000_000;
const SPARE = 6;

export function Pool(props: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 800 });
  const { count, rowHeight } = props;
  const full = count * rowHeight;
  const drawn = Math.min(full, MOST_PIXELS);
  const reach = Math.max(1, drawn - view.height);
  const scale = drawn < full ? (full - view.height) / reach : 1;
  const offset = view.top * scale;
  const first = Math.max(0, Math.floor(offset / rowHeight) - SPARE);
  const last = Math.min(count, Math.ceil((offset + view.height) / rowHeight) + SPARE);

  useLayoutEffect(() => {
    const element = box.current!;
    const measure = () => setView((old) => (
      old.height === element.clientHeight && old.top === element.scrollTop
        ? old : { top: element.scrollTop, height: element.clientHeight || 800 }));
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    element.addEventListener("scroll", measure, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", measure);
    };
  }, []);

  const active = props.active ?? -1;
  useEffect(() => {
    const element = box.current!;
    if (active < 0) return;
    const top = active * rowHeight;
    const head = (element.firstElementChild as HTMLElement).dataset["head"]
      ? (element.firstElementChild as HTMLElement).offsetHeight : 0;
    const room = element.clientHeight - head;
    const now = element.scrollTop * scale;
    if (top < now) element.scrollTop = Math.max(0, (top - rowHeight) / scale);
    else if (top + rowHeight > now + room) {
      element.scrollTop = (top - room + 2 * rowHeight) / scale;
    }
  }, [active, count]);

  useEffect(() => {
    props.onView?.(first, last);
    if (props.onEnd && last >= count - 20) props.onEnd();
  }, [first, last, count]);

  const rows = [];
  for (let index = first; index < last; index++) rows.push(props.row(index));
  const shift = drawn < full ? view.top - offset + first * rowHeight : first * rowHeight;
  return (
    <div
      ref={box} class={`pool ${props.className ?? ""}`} role={props.role} aria-label={props.label}
      aria-rowcount={count + (props.header ? 1 : 0)} aria-colcount={props.columns} tabIndex={0}
      aria-activedescendant={props.activeId}
    >
      {props.header && <div class="pool-head" data-head="1" role="rowgroup">{props.header}</div>}
      <div role="rowgroup" class="pool-rows" style={{ height: `${drawn}px` }}>
        <div role="none" style={{ transform: `translateY(${shift}px)` }}>{rows}</div>
      </div>
      {props.footer}
    </div>
  );
}
