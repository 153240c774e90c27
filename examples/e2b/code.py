"""Code that keeps its state: results in several forms, output as it comes, contexts, errors."""

from e2b_code_interpreter import Sandbox

with Sandbox.create() as sandbox:
    sandbox.run_code("x = 20")
    print(sandbox.run_code("x += 1; x * 2").text)

    # as it comes
    sandbox.run_code(
        "import time\nfor n in range(3):\n    print('line', n); time.sleep(0.1)\n'done'",
        on_stdout=lambda message: print("->", message.line.strip()),
        on_result=lambda result: print("=>", result.text),
    )

    # a table is text, HTML and data
    table = sandbox.run_code(
        "import pandas as pd\npd.DataFrame({'city': ['Oslo', 'Rome'], 'degrees': [4, 21]})"
    ).results[0]
    print(sorted(table.formats()), table.data["degrees"])

    # an error is no exception here
    error = sandbox.run_code("{}['missing']").error
    print(error.name, error.value)

    # two states side by side, in folders of their own
    other = sandbox.create_code_context(cwd="/tmp")
    sandbox.run_code("x = 'other'", context=other)
    print(sandbox.run_code("x", context=other).text, sandbox.run_code("x").text)
    sandbox.restart_code_context(other)
    print(sandbox.run_code("x", context=other).error.name)
    sandbox.remove_code_context(other)

    # the shell keeps its folder and variables too, and a variable may be for one run only
    sandbox.run_code("cd /tmp && export NAME=shell", language="bash")
    print(sandbox.run_code("echo $NAME in $PWD", language="bash").logs.stdout)
    print(sandbox.run_code("import os; os.environ['KEY']", envs={"KEY": "once"}).text)

    # what was written by code is a file of the sandbox
    sandbox.run_code("open('result.txt', 'w').write('from code')")
    print(sandbox.files.read("result.txt"))
