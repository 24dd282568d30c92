/** The variable that names the folder for the records of all processes of the suite. If unset, each process checks its own. */
export const RECORDS_FOLDER = "TEST_RECORDS_FOLDER";

export type RecordFile = { statements: string[]; reached: string[] };
