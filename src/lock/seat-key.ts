/** Where a seat is stored: under its name and ticket. The ticket has a fixed width, so a name may hold any character. */

const TICKET_DIGITS = 16;

export function seatKey(name: string, ticket: number): string {
  return `${name}\0${String(ticket).padStart(TICKET_DIGITS, '0')}`;
}

export function nameOfSeat(key: string): string {
  return key.slice(0, -TICKET_DIGITS - 1);
}
