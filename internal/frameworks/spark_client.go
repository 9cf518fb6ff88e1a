// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"fmt"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// sparkApplication are the properties of an application, apart from master
// and secret. With decommissioning, a worker that leaves loses neither tasks
// nor what its executors hold.
const sparkApplication = `spark.authenticate=true
spark.decommission.enabled=true
spark.storage.decommission.enabled=true
`

// Client implements managed.Framework. There is no R: SparkR is deprecated.
//
// PySpark puts what a builder's config has into arguments of the program that
// it starts. So the secret goes through a file, which only its owner can read
// and which is gone once Spark has read it.
func (s spark) Client(f managed.ClientFacts) managed.Client {
	address := s.URL(f.Host, f.Port, "")
	head := tunnelNote(f) + fmt.Sprintf(`# Cluster %s. It needs the same release of Spark as the cluster. Its workers connect to this program: run it in
# a network that they reach.
`, f.Cluster)
	return managed.Client{
		URL: address,
		Python: head + fmt.Sprintf(`import os
import shlex
import tempfile
from pyspark.sql import SparkSession

with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".conf") as properties:
    properties.write(%s)
    properties.write("spark.authenticate.secret=" + os.environ[%s].replace("\\", "\\\\") + "\n")
    properties.flush()
    os.environ["PYSPARK_SUBMIT_ARGS"] = "--properties-file " + shlex.quote(properties.name) + " pyspark-shell"
    spark = SparkSession.builder.master(%s).getOrCreate()
    del os.environ["PYSPARK_SUBMIT_ARGS"]

# When the work is done: dockerparallel_deregister()
def dockerparallel_deregister():
    spark.stop()
`, literalQuote(sparkApplication), literalQuote(managed.PasswordVariable), literalQuote(address)),
		Shell: head + fmt.Sprintf(`: "${%[1]s:?is not set}"
DOCKERPARALLEL_SPARK_CONF="$(mktemp)"
{
  printf '%%s\n' spark.master=%[2]s
  cat <<'END'
%[3]sEND
  printf 'spark.authenticate.secret=%%s\n' "$%[1]s" | sed 's/\\/\\\\/g'
} >"$DOCKERPARALLEL_SPARK_CONF"
# For example: spark-submit --properties-file "$DOCKERPARALLEL_SPARK_CONF" script.py

# When the work is done: dockerparallel_deregister
dockerparallel_deregister() {
  rm -f "$DOCKERPARALLEL_SPARK_CONF"
  unset DOCKERPARALLEL_SPARK_CONF
}
`, managed.PasswordVariable, shellQuote(address), sparkApplication),
	}
}
