/** The database's clock in Unix ms: the nodes of a fleet need not agree on the time. */
export const DATABASE_NOW = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";
