"""gemma4 run with the form of the answer fixed: schemas, objects, expressions, grammars."""

import json
import os
import re
import unittest

from support import CliTest, make_text_checkpoint

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "count": {"type": "integer", "minimum": 1, "maximum": 99},
        "tags": {"type": "array", "items": {"enum": ["red", "blue"]}, "maxItems": 2},
    },
    "required": ["name", "count", "tags"],
    "additionalProperties": False,
}


class FormOfTheAnswer(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Every token may come, the stop tokens too, without which no form can end.
        cls.model = make_text_checkpoint(os.path.join(cls.folder, "free"))

    def test_every_answer_is_valid_by_the_schema(self):
        path = self.write("schema.json", json.dumps(SCHEMA))
        for seed in range(8):
            out = self.run_ok("--json-schema", path, "--temp", "1.5",
                              "--seed", str(seed), "-n", "2000", "hello")
            answer = json.loads(out)
            self.assertEqual(set(answer), {"name", "count", "tags"})
            self.assertLessEqual(len(answer["name"]), 8)
            self.assertTrue(1 <= answer["count"] <= 99)
            self.assertTrue(set(answer["tags"]) <= {"red", "blue"} and len(answer["tags"]) <= 2)

    def test_a_cut_answer_is_reported(self):
        done = self.command("run", "-m", self.model, "--json-schema", json.dumps(SCHEMA), "--json",
                            "-n", "5", "hello")
        self.assertEqual(done.returncode, 6)
        answer = json.loads(done.stdout)
        self.assertEqual(answer["finish_reason"], "length")
        self.assertIs(answer["complete"], False)

    def test_expressions_and_grammars(self):
        out = self.run_ok("--regex", r"[a-c]{3}-\d{2}", "hi")
        self.assertTrue(re.fullmatch(r"[a-c]{3}-\d{2}\n", out))
        for think in ([], ["--think"]):
            out = self.run_ok("--grammar", 'root ::= "yes" | "no"', *think,
                              "hi")
            self.assertIn(out, ("yes\n", "no\n"))

    def test_each_line_of_a_batch_has_its_own_schema(self):
        lines = [{"id": n, "prompt": "x", "json_schema": {"type": "integer", "minimum": n,
                                                          "maximum": n}} for n in range(20)]
        path = self.write("batch.jsonl", "\n".join(map(json.dumps, lines)))
        out = self.run_ok("--batch", path)
        for n, line in enumerate(out.splitlines()):
            self.assertEqual(int(json.loads(line)["text"]), n)

    def test_what_cannot_be_enforced_is_refused(self):
        self.assert_fails(2, "run", "-m", self.model, "--json-schema",
                          '{"type": "string", "not": {"const": "a"}}', "hi", says="/not")
        self.assert_fails(2, "run", "-m", self.model, "--regex", "a", "--json-object", "hi",
                          says="exclude")
        self.assert_fails(4, "run", "-m", self.model, "--json-schema", "/no/such.json", "hi")
        self.assert_fails(4, "run", "-m", self.model, "--json-schema", '{"type": ', "hi")


if __name__ == "__main__":
    unittest.main()
