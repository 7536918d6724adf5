/** The menu of the columns of the list. */
import { ALWAYS, COLUMNS, columnsOf, columnsText, toggled, type Column } from "../model/columns";
import { change } from "../place";
import { columns as kept } from "../settings";

/** Those of the address, else those that were chosen last in this browser. */
export function shownColumns(query: URLSearchParams): Column[] {
  return columnsOf(query.get("cols") ?? kept.value ?? "");
}

export function ColumnMenu({ shown }: { shown: readonly Column[] }) {
  const choose = (column: Column) => {
    const text = columnsText(toggled(shown, column));
    kept.value = text;
    change({ cols: text });
  };
  return (
    <details class="menu">
      <summary class="button small">Columns</summary>
      <fieldset class="menu-list">
        <legend class="unseen">Columns</legend>
        {COLUMNS.map((column) => (
          <label key={column.name} class="check">
            <input type="checkbox" checked={shown.includes(column)} disabled={column.name === ALWAYS}
              onChange={() => choose(column)} />
            {column.label}
          </label>
        ))}
      </fieldset>
    </details>
  );
}
