"""What happened to this customer, in order, and what was known at any instant?

The log itself is the table: no copy could be truer. Both times count: `effective` is when it
happened, `recorded` when we learned of it.
"""

from projections.shown import shown

PAGE = f"""
SELECT l.position, t.envelope FROM crm.event t JOIN crm.log l USING (seq)
WHERE t.tenant = %(tenant)s AND t.subject = ANY(%(subjects)s::uuid[])
  AND l.position > %(after)s AND {shown("subject")}
  AND (%(types)s::text[] = '{{}}' OR t.type = ANY(%(types)s))
  AND (%(stream)s::uuid IS NULL OR t.stream = %(stream)s)
  AND (%(recorded_before)s::timestamptz IS NULL
       OR (convert_from(t.envelope, 'UTF8')::json ->> 'recordedtime')::timestamptz
          < %(recorded_before)s)
  AND (%(effective_before)s::timestamptz IS NULL
       OR (convert_from(t.envelope, 'UTF8')::json ->> 'time')::timestamptz < %(effective_before)s)
ORDER BY l.position LIMIT %(limit)s
"""
