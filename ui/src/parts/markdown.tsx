/** Markdown as nodes: tokens of markdown-it by an allow-list; HTML in it stays text. */
import { signal } from "@preact/signals";
import { h, type ComponentChildren, type VNode } from "preact";
import type Parser from "markdown-it";

type Parsing = InstanceType<typeof Parser>;
type Token = ReturnType<Parsing["parse"]>[number];

const parser = signal<Parsing | null>(null);
let asked = false;

function load(): void {
  if (asked) return;
  asked = true;
  void import("markdown-it").then(({ default: MarkdownIt }) => {
    parser.value = new MarkdownIt({ html: false, linkify: true });
  });
}

const TAGS = new Set(["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote",
  "em", "strong", "s", "table", "thead", "tbody", "tr", "th", "td", "a"]);
const SCHEMES = /^(https?|mailto):/i;

export function Markdown({ text }: { text: string }) {
  load();
  const known = parser.value;
  if (!known) return <pre dir="auto">{text}</pre>;
  return <div class="markdown" dir="auto">{nodes(known.parse(text, {}))}</div>;
}

/** The nodes of a flat list of tokens, in which `_open` and `_close` enclose. */
function nodes(tokens: readonly Token[]): ComponentChildren[] {
  const stack: { tag: string; token: Token | null; children: ComponentChildren[] }[] =
    [{ tag: "", token: null, children: [] }];
  const top = () => stack[stack.length - 1]!;
  for (const token of tokens) {
    if (token.nesting === 1) {
      stack.push({ tag: token.tag, token, children: [] });
    } else if (token.nesting === -1) {
      if (stack.length === 1) continue;
      const done = stack.pop()!;
      top().children.push(element(done.tag, done.token!, done.children));
    } else top().children.push(leaf(token));
  }
  return stack[0]!.children;
}

function leaf(token: Token): ComponentChildren {
  switch (token.type) {
    case "inline": return nodes(token.children ?? []);
    case "softbreak": return "\n";
    case "hardbreak": return <br />;
    case "hr": return <hr />;
    case "code_inline": return <code>{token.content}</code>;
    case "fence":
    case "code_block": return <pre><code>{token.content}</code></pre>;
    // Nothing is loaded from other sites: an image is a link to it.
    case "image": return link(String(token.attrGet("src") ?? ""), [`image: ${token.content}`]);
    default: return token.content;
  }
}

function element(tag: string, token: Token, children: ComponentChildren[]): ComponentChildren {
  if (token.hidden || !TAGS.has(tag)) return children;
  if (tag === "a") return link(String(token.attrGet("href") ?? ""), children);
  // The page has headings of its own: those of a text are below them.
  if (/^h[1-6]$/.test(tag)) return h("p", { class: `md-${tag}` }, children) as VNode;
  return h(tag, {}, children) as VNode;
}

function link(address: string, children: ComponentChildren[]): ComponentChildren {
  if (!SCHEMES.test(address)) return [...children, ` (${address})`];
  let host = "";
  try {
    host = new URL(address).host;
  } catch {
    return [...children, ` (${address})`];
  }
  return (
    <>
      <a href={address} target="_blank" rel="noopener noreferrer nofollow">{children}</a>
      {host && <span class="dim"> ({host})</span>}
    </>
  );
}
