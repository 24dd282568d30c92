/** Names the folder where each process of the suite leaves what it recorded; where unset, each judges it by itself. */
export const RECORDS_FOLDER = "TEST_RECORDS_FOLDER";

export type RecordFile = { statements: string[]; reached: string[] };
