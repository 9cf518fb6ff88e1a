# Registers the cluster as foreach's parallel backend and lets it estimate pi. See README.md.

source("register.R") # terraform output -raw client >register.R
library(foreach)

hits <- foreach(seed = 1:100, .combine = "+") %dopar% {
  set.seed(seed)
  sum(runif(1e6)^2 + runif(1e6)^2 < 1)
}
print(4 * hits / 1e8)

dockerparallel_deregister()
