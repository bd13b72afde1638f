-- The documented views (docs/sql.md). Every one is keyed by run first: the same id in two runs is looked at twice.
-- What must stay true: only a rule verifier's verdict is ever `correct`; `error` leaves every denominator; a trace that
-- was replaced by a longer one, or set apart from verification, counts nowhere.

-- §1.3: 1 - C(n-c, k) / C(n, k) as a product of min(c, k) factors, by C(n-c, k) / C(n, k) = C(n-k, c) / C(n, c).
CREATE MACRO pass_at_k(n, c, k) AS CASE
    WHEN n < k OR k < 1 OR c > n THEN NULL
    WHEN n - c < k THEN 1.0::DOUBLE
    WHEN least(c, k) = 0 THEN 0.0::DOUBLE
    WHEN least(c, k) = 1 THEN greatest(c, k)::DOUBLE / n::DOUBLE
    ELSE 1.0::DOUBLE - list_product(list_transform(
        range((n - least(c, k) + 1)::BIGINT, (n + 1)::BIGINT),
        lambda i: 1.0::DOUBLE - greatest(c, k)::DOUBLE / i::DOUBLE))
END;

-- One key for every way to write an answer; what has no normal form is compared as lower-case text.
CREATE MACRO answer_class(answer) AS coalesce(normal_form(answer), lower(trim(answer)));
CREATE MACRO answer_type(answer, choice := false) AS answer_kind(answer, choice);

CREATE VIEW current_traces AS
SELECT t.* FROM traces t
ANTI JOIN (SELECT run, subject_id FROM drops WHERE reason = 'superseded') d
    ON d.run = t.run AND d.subject_id = t.trace_id;

-- The newest verdict of each verifier on each subject.
CREATE VIEW current_verdicts AS
SELECT * FROM verdicts
QUALIFY row_number() OVER (
    PARTITION BY run, subject_id, verifier
    ORDER BY outcome = 'error',
        TRY_CAST(regexp_extract_all(version, '\d+') AS BIGINT[]) DESC NULLS LAST,
        verified_at DESC NULLS LAST, config_hash, inputs_hash
) = 1;

CREATE VIEW final_verdict AS
WITH ranked AS (
    SELECT run, subject_id, verifier, version, level, score, reason, outcome,
        level = 'rule' AS rule,
        outcome = 'correct' AS good,
        row(level <> 'rule', outcome = 'error', level <> 'pseudo', verifier) AS place
    FROM current_verdicts
), best AS (
    SELECT run, subject_id,
        arg_min(struct_pack(outcome, verifier, version, level, score, reason), place) AS top,
        coalesce(bool_or(good) FILTER (rule AND outcome <> 'error')
            AND NOT bool_and(good) FILTER (rule AND outcome <> 'error'), false) AS disputed,
        string_agg(verifier || ' ' || version || ': ' || outcome, '; ' ORDER BY verifier)
            FILTER (rule AND outcome <> 'error') AS views,
        arg_min(outcome, place) FILTER (NOT rule) AS pseudo_outcome
    FROM ranked GROUP BY run, subject_id
)
SELECT run, subject_id,
    CASE WHEN disputed THEN 'disputed' WHEN top.level = 'rule' THEN top.outcome END AS outcome,
    top.verifier AS verifier, top.version AS version, top.level AS level, top.score AS score,
    CASE WHEN disputed THEN views ELSE top.reason END AS reason,
    disputed, pseudo_outcome
FROM best;

-- Independent attempts as they count: one row a trace, weighted by repeats.
CREATE VIEW attempts AS
SELECT t.run, t.trace_id, t.problem_id, t.policy_id, t.kind,
    coalesce(json_extract_string(t.strategy, '$.name'), json_extract_string(t.strategy, '$.kind'), t.strategy) AS strategy,
    t.answer, t.repeats, t.error, t.completion_tokens, v.outcome, v.pseudo_outcome,
    d.reason AS apart
FROM current_traces t
LEFT JOIN final_verdict v ON v.run = t.run AND v.subject_id = t.trace_id
LEFT JOIN (SELECT run, subject_id, min(reason) AS reason FROM drops WHERE stage = 'verify' GROUP BY ALL) d
    ON d.run = t.run AND d.subject_id = t.trace_id
WHERE t.kind IN ('sample', 'imported');

CREATE VIEW pass_rate AS
WITH counted AS (
    SELECT run, problem_id, policy_id, strategy, kind,
        sum(repeats) FILTER (apart IS NULL AND outcome NOT IN ('error', 'disputed')) AS n,
        sum(repeats) FILTER (apart IS NULL AND outcome = 'correct') AS c,
        sum(repeats) FILTER (apart IS NULL AND (outcome = 'error' OR error IS NOT NULL)) AS errors,
        sum(repeats) FILTER (apart IS NULL AND outcome = 'disputed') AS disputed,
        sum(repeats) FILTER (apart IS NULL AND outcome IS NULL AND error IS NULL) AS unverified,
        sum(repeats) FILTER (apart IS NOT NULL) AS apart
    FROM attempts GROUP BY ALL
)
SELECT run, problem_id, policy_id, strategy, kind,
    coalesce(n, 0)::BIGINT AS n, coalesce(c, 0)::BIGINT AS c,
    CASE WHEN n > 0 THEN coalesce(c, 0)::DOUBLE / n::DOUBLE END AS pass_rate,
    coalesce(errors, 0)::BIGINT AS errors, coalesce(disputed, 0)::BIGINT AS disputed,
    coalesce(unverified, 0)::BIGINT AS unverified, coalesce(apart, 0)::BIGINT AS apart
FROM counted;

-- The answer of every trace: as extracted when it was stored, else as the verifier read it.
CREATE VIEW answers AS
SELECT t.run, t.trace_id, coalesce(t.answer, e.answer) AS answer
FROM current_traces t
LEFT JOIN (
    SELECT run, subject_id, min(json_extract_string(evidence, '$.answer')) AS answer
    FROM current_verdicts WHERE level = 'rule' GROUP BY ALL
) e ON e.run = t.run AND e.subject_id = t.trace_id;

-- §2.2: answers vote by equivalence class, no answer does not vote, tied classes share the vote.
CREATE VIEW majority AS
WITH classes AS (
    SELECT answer, answer_class(answer) AS class FROM (SELECT DISTINCT answer FROM answers WHERE answer IS NOT NULL)
), votes AS (
    SELECT a.run, a.problem_id, a.policy_id, a.strategy, c.class, min(c.answer) AS answer, sum(a.repeats)::BIGINT AS votes,
        avg((a.outcome = 'correct')::INT) FILTER (a.outcome NOT IN ('error', 'disputed')) AS good
    FROM attempts a
    JOIN answers w ON w.run = a.run AND w.trace_id = a.trace_id
    JOIN classes c ON c.answer = w.answer
    WHERE a.error IS NULL AND a.apart IS NULL
    GROUP BY a.run, a.problem_id, a.policy_id, a.strategy, c.class
), polls AS (
    SELECT *, max(votes) OVER poll AS most, sum(votes) OVER poll AS voters
    FROM votes WINDOW poll AS (PARTITION BY run, problem_id, policy_id, strategy)
)
SELECT run, problem_id, policy_id, strategy, arg_min(answer, class) AS answer, min(class) AS class,
    any_value(votes) AS votes, any_value(voters)::BIGINT AS voters,
    any_value(votes)::DOUBLE / any_value(voters)::DOUBLE AS share,
    count(*) AS tied, avg((good > 0.5)::INT) AS correct
FROM polls WHERE votes = most
GROUP BY run, problem_id, policy_id, strategy;

-- What stands in for a gold answer, and how sure the vote was.
CREATE VIEW pseudo_labels AS
SELECT v.run, t.problem_id, any_value(json_extract_string(v.evidence, '$.label')) AS label,
    any_value(json_extract_string(v.evidence, '$.source')) AS source,
    any_value(json_extract(v.evidence, '$.share')::DOUBLE) AS share,
    any_value(json_extract(v.evidence, '$.margin')::DOUBLE) AS margin,
    any_value(json_extract(v.evidence, '$.voters')::BIGINT) AS voters
FROM current_verdicts v JOIN traces t ON t.run = v.run AND t.trace_id = v.subject_id
WHERE v.verifier = 'consensus' AND v.outcome = 'correct'
GROUP BY v.run, t.problem_id;

-- By source and domain, and by type of answer: what guessing without the question scores.
CREATE VIEW _blind AS
WITH golds AS (
    SELECT run, kind, family, part, answer_class(gold) AS class, min(gold) AS gold, count(*) AS hits
    FROM (
        SELECT run, 'domain' AS kind, source AS family, domain AS part, gold FROM problems
        UNION ALL
        SELECT run, 'type', answer_type(gold, choice := choices IS NOT NULL), '', gold
        FROM problems WHERE trim(gold) <> ''
    )
    WHERE trim(gold) <> '' GROUP BY run, kind, family, part, class
), placed AS (
    SELECT *, count(*) FILTER (hits = most) OVER alike AS leaders,
        count(*) FILTER (hits = most - 1) OVER alike AS runners
    FROM (SELECT *, max(hits) OVER (PARTITION BY run, kind, family, part) AS most FROM golds)
    WINDOW alike AS (PARTITION BY run, kind, family, part)
)
SELECT run, kind, family, part, sum(hits)::BIGINT AS problems, arg_min(gold, row(-hits, class)) AS answer,
    max(hits) AS hits,
    -- Leave one out: each problem is given the most frequent answer of the others, ties shared. That is its own answer only
    -- where its class leads alone, and one problem fewer it may have to share the lead with the runners-up.
    sum(CASE WHEN hits < most OR leaders > 1 OR hits = 1 THEN 0 ELSE hits / (1.0 + runners) END)::DOUBLE
        / sum(hits)::DOUBLE AS share
FROM placed GROUP BY run, kind, family, part;

CREATE VIEW blind_baseline AS
SELECT run, family AS source, part AS domain, problems, answer, hits, share FROM _blind WHERE kind = 'domain';

CREATE VIEW lucky_rate AS
WITH rates AS (
    SELECT p.run, answer_type(p.gold, choice := p.choices IS NOT NULL) AS answer_type, avg(r.pass_rate) AS pass_rate
    FROM pass_rate r JOIN problems p ON p.run = r.run AND p.problem_id = r.problem_id
    WHERE trim(p.gold) <> '' GROUP BY ALL
)
SELECT b.run, b.family AS answer_type, b.problems, b.answer, b.hits, b.share, r.pass_rate
FROM _blind b LEFT JOIN rates r ON r.run = b.run AND r.answer_type = b.family
WHERE b.kind = 'type';

CREATE VIEW disagreements AS
WITH pairs AS (
    SELECT a.run, a.subject_id, a.verifier AS first, a.level AS first_level, a.outcome AS first_outcome,
        b.verifier AS second, b.level AS second_level, b.outcome AS second_outcome
    FROM current_verdicts a JOIN current_verdicts b
        ON b.run = a.run AND b.subject_id = a.subject_id
        AND row(a.level <> 'rule', a.verifier) < row(b.level <> 'rule', b.verifier)
    WHERE a.outcome <> 'error' AND b.outcome <> 'error' AND (a.outcome = 'correct') <> (b.outcome = 'correct')
)
SELECT d.run, 'verifiers' AS kind, d.subject_id, t.problem_id, t.policy_id, d.first, d.first_level, d.first_outcome,
    d.second, d.second_level, d.second_outcome, w.answer, p.gold, t.repeats
FROM pairs d
JOIN traces t ON t.run = d.run AND t.trace_id = d.subject_id
JOIN answers w ON w.run = d.run AND w.trace_id = d.subject_id
LEFT JOIN problems p ON p.run = t.run AND p.problem_id = t.problem_id
UNION ALL
SELECT m.run, 'majority', m.problem_id, m.problem_id, m.policy_id, 'majority', 'pseudo', m.answer,
    'gold', 'rule', p.gold, m.answer, p.gold, m.votes
FROM majority m JOIN problems p ON p.run = m.run AND p.problem_id = m.problem_id
WHERE p.gold IS NOT NULL AND m.correct = 0 AND m.voters > 1;

-- Whether a trace's steps hold, by sources that are verified or agreed (steps.base.VERIFIED); no row where nobody looked.
CREATE VIEW process AS
WITH counted AS (
    SELECT run, trace_id, source, step, label FROM step_labels
    WHERE coalesce(agreed, false)
        OR source IN ('arithmetic', 'execution', 'lean', 'divergence', 'oracle', 'human', 'consensus')
)
SELECT c.run, c.trace_id, v.outcome, coalesce(v.outcome = 'correct', false) AND NOT bool_or(c.label = 'wrong') AS process_ok,
    min(c.step) FILTER (c.label = 'wrong') AS first_wrong_step,
    list(DISTINCT c.source ORDER BY c.source) FILTER (c.label = 'wrong') AS sources
FROM counted c LEFT JOIN final_verdict v ON v.run = c.run AND v.subject_id = c.trace_id
GROUP BY c.run, c.trace_id, v.outcome;

CREATE VIEW funnel AS
WITH stages AS (
    SELECT run, stage, min(place) AS place, sum(rows_in)::BIGINT AS rows_in, sum(rows_out)::BIGINT AS rows_out
    FROM _funnels GROUP BY run, stage
), reasons AS (
    SELECT run, stage, reason, sum(dropped)::BIGINT AS dropped FROM _dropped GROUP BY ALL
)
SELECT s.run, s.stage, s.rows_in, s.rows_out, r.reason, coalesce(r.dropped, 0) AS dropped
FROM stages s LEFT JOIN reasons r ON r.run = s.run AND r.stage = s.stage
ORDER BY s.run, s.place, s.stage, r.dropped DESC, r.reason;

CREATE VIEW cost AS
SELECT q.run, q.stage, t.policy_id, p.model, count(*) AS requests, sum(q.prompt_tokens)::BIGINT AS prompt_tokens,
    sum(q.cached_tokens)::BIGINT AS cached_tokens, sum(q.completion_tokens)::BIGINT AS completion_tokens,
    sum(q.cost_usd) AS usd, count(*) FILTER (q.error IS NOT NULL) AS errors
FROM _requests q
LEFT JOIN (SELECT run, attempt_id, any_value(policy_id) AS policy_id FROM traces GROUP BY ALL) t
    ON t.run = q.run AND t.attempt_id = q.attempt_id
LEFT JOIN policies p ON p.run = t.run AND p.policy_id = t.policy_id
GROUP BY q.run, q.stage, t.policy_id, p.model;
