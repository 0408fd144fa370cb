/** A terminal on which lines can be redrawn. */
export interface Screen {
  write(text: string): unknown
  columns?: number | undefined
  rows?: number | undefined
}

/** Moves to the first column and up by `rows`, and clears everything below. After Ctrl-C the cursor is after a `^C`. */
const back = (rows: number) => `\r${rows > 0 ? `\u001b[${rows}A` : ''}\u001b[J`

/** Disables line wrap: only the terminal knows which characters are two columns wide, so it truncates long lines. */
const [CUTTING, WRAPPING] = ['\u001b[?7l', '\u001b[?7h']

/** Draws lines in place of the ones that it drew before. */
export function createLiveLines(screen: Screen) {
  let drawn: readonly string[] = []
  const columns = () => Math.max(10, screen.columns || 80)
  const erased = () => {
    if (drawn.length === 0) return ''
    // A window that has become narrower since has wrapped the lines.
    const rows = drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil([...line].length / columns())), 0)
    drawn = []
    return back(rows)
  }
  return {
    /** `styled` adds the style of a line; its escape sequences do not count towards the width. */
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

/** Lines that do not fit on the screen could not be redrawn, so the last line says how many are left out. */
function fitting(lines: readonly string[], rows: number): readonly string[] {
  if (lines.length <= rows) return lines
  return [...lines.slice(0, rows - 1), `… and ${lines.length - rows + 1} more`]
}
