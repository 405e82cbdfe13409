/**
 * Constants that fit the arguments of PostgreSQL's own functions. pg_stat_statements replaces them by parameters, and no
 * random text is a field of date_trunc or a format of to_char. null: nothing special. `name/2` is for two arguments.
 */
export const FUNCTION_HINTS: Readonly<Record<string, readonly (string | null)[]>> = {
  date_trunc: ['day', null, 'UTC'],
  date_part: ['day'],
  date_bin: ['1 hour', null, '2020-01-01'],
  timezone: ['UTC'],
  to_char: [null, 'YYYY-MM-DD'],
  to_date: ['2024-01-15', 'YYYY-MM-DD'],
  'to_timestamp/2': ['2024-01-15', 'YYYY-MM-DD'],
  to_number: ['12', '99'],
  string_agg: [null, ', '],
  array_to_string: [null, ', '],
  string_to_array: [null, ','],
  similar_to_escape: ['%', '!'],
  like_escape: ['%', '!'],
  split_part: [null, ' ', '1'],
  regexp_replace: [null, 'a', 'b', 'g'],
  regexp_match: [null, 'a'],
  regexp_matches: [null, 'a', 'g'],
  encode: [null, 'hex'],
  decode: [null, 'hex'],
  digest: [null, 'sha256'],
  hmac: [null, 'key', 'sha256'],
  gen_salt: ['md5'],
  'to_tsvector/2': ['simple'],
  'to_tsquery/1': ['word'],
  'to_tsquery/2': ['simple', 'word'],
  'plainto_tsquery/2': ['simple'],
  'phraseto_tsquery/2': ['simple'],
  'websearch_to_tsquery/2': ['simple'],
  'ts_headline/3': ['simple'],
  setweight: [null, 'A'],
  current_setting: ['application_name', 'true'],
  jsonb_set: [null, '{key}', '1'],
  jsonb_insert: [null, '{key}', '1'],
  jsonb_extract_path: [null, 'key'],
  jsonb_extract_path_text: [null, 'key'],
  json_extract_path_text: [null, 'key'],
  jsonb_build_object: ['key', null, 'key2', null, 'key3', null, 'key4', null],
  json_build_object: ['key', null, 'key2', null, 'key3', null, 'key4', null],
  jsonb_path_exists: [null, '$'],
  jsonb_path_query: [null, '$'],
  jsonb_to_recordset: ['[]'],
  json_to_recordset: ['[]'],
  jsonb_populate_recordset: [null, '[]'],
  json_populate_recordset: [null, '[]'],
  jsonb_array_elements: ['[]'],
  jsonb_array_elements_text: ['[]'],
  json_array_elements: ['[]'],
  percentile_cont: ['0.5'],
  percentile_disc: ['0.5'],
  pg_notify: ['rehearse', ''],
}

/** Arguments of these are small numbers where they are numbers. */
export const SMALL_FUNCTIONS: ReadonlySet<string> = new Set(
  (
    'generate_series round trunc left right substring substr lpad rpad repeat ntile lag lead nth_value make_interval ' +
    'make_date overlay mod power width_bucket array_position trim_scale'
  ).split(' '),
)

/** Their arguments are of one kind: a text to find beside a column of texts. */
export const SAME_KIND_FUNCTIONS: ReadonlySet<string> = new Set(
  'similarity word_similarity strict_word_similarity levenshtein strpos position starts_with concat array_append array_remove'.split(
    ' ',
  ),
)
