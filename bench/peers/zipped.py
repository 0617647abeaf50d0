"""Prints how many bytes a subject's deployment package has, deflated at level 9.

    zipped.py file PATH NAME        one file, under the name that Lambda wants
    zipped.py boto3 PATH            a function's file with boto3 and what it imports, for a runtime that does not bring it
    zipped.py custodian FOLDER INTO what Cloud Custodian itself would upload, which is also unpacked INTO a folder
"""

import importlib.metadata
import io
import pathlib
import re
import sys
import zipfile


def boto3_and_what_it_needs():
    """The files of boto3 and of all that it depends on, each with its name in the package."""
    wanted, seen = ["boto3"], set()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        distribution = importlib.metadata.distribution(name)
        for requirement in distribution.requires or []:
            if "extra ==" not in requirement:
                wanted.append(re.match(r"[\w.-]+", requirement)[0])
        for file in distribution.files or []:
            if "__pycache__" not in file.parts and ".." not in file.parts:
                yield distribution.locate_file(file), str(file)


def deflated(files):
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, name in files:
            archive.write(path, name)
    return len(package.getvalue())


def custodian(folder, into):
    from c7n.mu import custodian_archive

    archive = custodian_archive()
    for file in ("config.json", "custodian_policy.py"):
        archive.add_contents(file, (folder / file).read_text())
    archive.close()
    package = archive.get_bytes()
    zipfile.ZipFile(io.BytesIO(package)).extractall(into)
    return len(package)


kind, path = sys.argv[1], pathlib.Path(sys.argv[2])
if kind == "file":
    print(deflated([(path, sys.argv[3])]))
elif kind == "boto3":
    print(deflated([(path, path.name), *boto3_and_what_it_needs()]))
elif kind == "custodian":
    print(custodian(path, sys.argv[3]))
else:
    sys.exit(__doc__)
