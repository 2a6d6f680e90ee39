"""What happened to this customer, in order, and what was known at any instant?

The log itself is the table: no copy could be truer. Both times count: `effective` is when it
happened, `recorded` when we learned of it.
"""

PAGE = """
SELECT l.position, e.envelope FROM crm.event e JOIN crm.log l USING (seq)
WHERE e.tenant = %(tenant)s AND e.subject = ANY(%(subjects)s::uuid[])
  AND l.position > %(after)s
  AND (%(types)s::text[] = '{}' OR e.type = ANY(%(types)s))
  AND (%(stream)s::uuid IS NULL OR e.stream = %(stream)s)
  AND (%(recorded_before)s::timestamptz IS NULL
       OR (convert_from(e.envelope, 'UTF8')::json ->> 'recordedtime')::timestamptz
          < %(recorded_before)s)
  AND (%(effective_before)s::timestamptz IS NULL
       OR (convert_from(e.envelope, 'UTF8')::json ->> 'time')::timestamptz < %(effective_before)s)
ORDER BY l.position LIMIT %(limit)s
"""
