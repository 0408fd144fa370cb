/** What lines can be drawn on over and over. */
export interface Screen {
  write(text: string): unknown
  columns?: number | undefined
  rows?: number | undefined
}

/** To the first column, so many rows up, and all below away; after Ctrl-C the cursor stands behind a `^C`. */
const back = (rows: number) => `\r${rows > 0 ? `\u001b[${rows}A` : ''}\u001b[J`

/** The terminal cuts long lines itself: it alone knows which letters are two columns wide. */
const [CUTTING, WRAPPING] = ['\u001b[?7l', '\u001b[?7h']

/** Draws lines over the ones that it drew before. */
export function createLiveLines(screen: Screen) {
  let drawn: readonly string[] = []
  const columns = () => Math.max(10, screen.columns || 80)
  const erased = () => {
    if (drawn.length === 0) return ''
    // A window that was made narrower in between has broken the lines anew.
    const rows = drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil([...line].length / columns())), 0)
    drawn = []
    return back(rows)
  }
  return {
    /** `styled` gives a line its look; it is counted without. */
    draw(lines: readonly string[], styled: (line: string, index: number) => string = (line) => line): void {
      const gone = erased()
      drawn = fitting(lines, Math.max(2, (screen.rows || 24) - 1)).map((line) =>
        [...line].slice(0, columns() - 1).join(''),
      )
      screen.write(`${gone}${CUTTING}${drawn.map((line, index) => `${styled(line, index)}\n`).join('')}${WRAPPING}`)
    },
    clear(): void {
      const gone = erased()
      if (gone) screen.write(gone)
    },
  }
}

/** What does not fit on the screen could not be drawn over, so the last line says how much that is. */
function fitting(lines: readonly string[], rows: number): readonly string[] {
  if (lines.length <= rows) return lines
  return [...lines.slice(0, rows - 1), `… and ${lines.length - rows + 1} more`]
}
